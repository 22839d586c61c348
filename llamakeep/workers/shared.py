"""Services that the parent runs for all workers: model, rate limits, login throttle."""

from collections.abc import Awaitable, Callable, Sequence

from llamakeep.domain.rates import Rate
from llamakeep.limits.rates import Counts, Limit, Standing, Verdict
from llamakeep.limits.throttle import Throttle
from llamakeep.metrics.families import Snapshot
from llamakeep.providers.local.supervisor import Endpoint, Supervisor
from llamakeep.workers.channel import Answer, Channel, Facts


def answers(
    supervisor: Supervisor,
    counts: Counts,
    throttle: Throttle,
    count_all: Callable[[], Awaitable[Snapshot]],
) -> dict[str, Answer]:
    """Return the parent's handlers of workers' requests."""

    async def endpoint(facts: Facts) -> Endpoint:
        failed = facts["instead_of"]
        return await supervisor.endpoint(
            instead_of=None if failed is None else Endpoint(*failed)
        )

    async def hit(facts: Facts) -> list[object]:
        verdict = await counts.hit(
            [Limit(kind, whose, Rate(*rate)) for kind, whose, rate in facts["limits"]]
        )
        standings = [
            [standing.left, standing.more_in] for standing in verdict.standings
        ]
        return [verdict.is_let_through, standings]

    async def check(facts: Facts) -> None:
        await throttle.check(**facts)

    async def failed(facts: Facts) -> None:
        await throttle.failed(**facts)

    async def succeeded(facts: Facts) -> None:
        await throttle.succeeded(**facts)

    async def count(_: Facts) -> Snapshot:
        return await count_all()

    return {
        "count": count,
        "endpoint": endpoint,
        "hit": hit,
        "login.check": check,
        "login.failed": failed,
        "login.succeeded": succeeded,
    }


class ParentsModel:
    """A `Supervisor` that asks the parent for the embedded model's endpoint."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def endpoint(self, *, instead_of: Endpoint | None = None) -> Endpoint:
        """Return the model's endpoint; see `Supervisor.endpoint`."""
        return Endpoint(*await self._channel.ask("endpoint", instead_of=instead_of))

    async def close(self) -> None:
        """Do nothing: the parent owns the model."""


class RemoteRateLimiter:
    """Rate limits that the parent counts for all workers."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        """Count a request unless one of the limits is reached."""
        is_let_through, standings = await self._channel.ask("hit", limits=limits)
        return Verdict(
            is_let_through,
            tuple(
                Standing(limit, left, more_in)
                for limit, (left, more_in) in zip(limits, standings, strict=True)
            ),
        )

    async def close(self) -> None:
        """Do nothing: the parent owns the counts."""


class RemoteThrottle:
    """Login throttle that the parent runs for all workers."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def check(self, username: str, address: str | None) -> None:
        """Permit an attempt; see `Throttle.check`."""
        await self._channel.ask("login.check", username=username, address=address)

    async def failed(self, username: str, address: str | None) -> None:
        """Count a failed attempt."""
        await self._channel.ask("login.failed", username=username, address=address)

    async def succeeded(self, username: str, address: str | None) -> None:
        """Clear the account's failures."""
        await self._channel.ask("login.succeeded", username=username, address=address)
