"""What workers share: the parent has it, and answers when they ask."""

from collections.abc import Sequence

from llamakeep.domain.rates import Rate
from llamakeep.limits.rates import Counts, Limit, Standing, Verdict
from llamakeep.limits.throttle import Throttle
from llamakeep.providers.local.supervisor import Endpoint, Supervisor
from llamakeep.workers.channel import Answer, Channel, Facts


def answers(
    supervisor: Supervisor, counts: Counts, throttle: Throttle
) -> dict[str, Answer]:
    """Return what a parent answers with these."""

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

    return {
        "endpoint": endpoint,
        "hit": hit,
        "login.check": check,
        "login.failed": failed,
        "login.succeeded": succeeded,
    }


class ParentsModel:
    """The embedded model, whose process is the parent's: a `Supervisor`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def endpoint(self, *, instead_of: Endpoint | None = None) -> Endpoint:
        """Return where the model answers, as `Supervisor.endpoint` says."""
        return Endpoint(*await self._channel.ask("endpoint", instead_of=instead_of))

    async def close(self) -> None:
        """Leave it to the parent: others may need it."""


class RemoteRateLimiter:
    """Counts that all workers of a parent share."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        """Count a request, unless one of the limits is reached."""
        is_let_through, standings = await self._channel.ask("hit", limits=limits)
        return Verdict(
            is_let_through,
            tuple(
                Standing(limit, left, more_in)
                for limit, (left, more_in) in zip(limits, standings, strict=True)
            ),
        )

    async def close(self) -> None:
        """Leave them to the parent: others go on counting."""


class RemoteThrottle:
    """Failed logins that all workers of a parent share."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def check(self, username: str, address: str | None) -> None:
        """
        Let an attempt pass, to be followed by `failed` or `succeeded`.

        Raises:
            TooManyAttempts: It has to wait, and must not be carried out.
        """
        await self._channel.ask("login.check", username=username, address=address)

    async def failed(self, username: str, address: str | None) -> None:
        """Remember that an attempt failed."""
        await self._channel.ask("login.failed", username=username, address=address)

    async def succeeded(self, username: str, address: str | None) -> None:
        """Forget the account's failures, as far as they are this user's."""
        await self._channel.ask("login.succeeded", username=username, address=address)
