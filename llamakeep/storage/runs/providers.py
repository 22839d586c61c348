"""What providers are doing for all users: numbers, and how a run failed last."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, case, func, select, text

from llamakeep.domain import RunStatus, first_id
from llamakeep.storage.database.conditions import FAILED_WAYS, IS_UNFINISHED, is_one_of
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs

_UNFINISHED = (
    select(runs.c.provider, runs.c.status, func.count())
    .where(IS_UNFINISHED)
    .group_by(runs.c.provider, runs.c.status)
)
# Others' were asked, and paid for, elsewhere.
_IS_OURS = runs.c.source.is_distinct_from("import")


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The newest run that a provider failed to answer, without any text."""

    at: datetime | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Load:
    """What a provider is doing."""

    running: int = 0
    waiting: int = 0
    last_failure: LastFailure | None = None


@dataclass(frozen=True, slots=True)
class Ends:
    """How many runs of a provider have ended, and in which way."""

    succeeded: int = 0
    failed: int = 0


class ProviderStorage:
    """Sums up runs by their provider."""

    _database: Database

    async def provider_ends(self, *, since: datetime) -> Mapping[str, Ends]:
        """Return how runs ended that were accepted since then."""
        query = (
            select(
                runs.c.provider,
                func.count(case((runs.c.status == RunStatus.SUCCEEDED, 1))),
                func.count(case((runs.c.status == RunStatus.FAILED, 1))),
            )
            .where(runs.c.id >= first_id("run_", since), _IS_OURS)
            .group_by(runs.c.provider)
        )
        return await self._database.read(
            lambda connection: {
                provider: Ends(succeeded, failed)
                for provider, succeeded, failed in connection.execute(query)
            }
        )

    async def provider_costs(
        self, *, since: str, until: str | None = None
    ) -> Mapping[str, Decimal]:
        """
        Return what runs with ids from `since` to before `until` cost, in US dollars.

        All of them are read: it takes longer the more there are.
        """
        query = (
            select(runs.c.provider, func.sum(runs.c.cost))
            .where(runs.c.id >= since, runs.c.cost.is_not(None), _IS_OURS)
            .group_by(runs.c.provider)
        )
        if until is not None:
            query = query.where(runs.c.id < until)
        return await self._database.read(
            lambda connection: {
                provider: Decimal(cost) for provider, cost in connection.execute(query)
            }
        )

    async def oldest_unfinished(self) -> str | None:
        """Return the lowest id of a run that may still cost more."""
        query = select(func.min(runs.c.id)).where(IS_UNFINISHED)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def provider_loads(self, *, since: datetime) -> Mapping[str, Load]:
        """
        Return what providers are doing, on all servers of the database.

        Failures before `since` are not looked for: that would be a long look where
        there are none.
        """
        # As a literal, so that the index of those that failed can be used.
        failed = (
            select(
                runs.c.provider,
                runs.c.finished_at,
                runs.c.error_code,
                func.row_number()
                .over(partition_by=runs.c.provider, order_by=runs.c.id.desc())
                .label("place"),
            )
            .where(
                text(is_one_of(FAILED_WAYS)),
                runs.c.status == RunStatus.FAILED,
                runs.c.id >= first_id("run_", since),
            )
            .subquery()
        )
        newest = select(failed).where(failed.c.place == 1)

        def operation(connection: Connection) -> Mapping[str, Load]:
            running: dict[str, int] = {}
            waiting: dict[str, int] = {}
            for provider, status, count in connection.execute(_UNFINISHED):
                counts = waiting if status is RunStatus.QUEUED else running
                counts[provider] = counts.get(provider, 0) + count
            failures = {
                row.provider: LastFailure(row.finished_at, row.error_code)
                for row in connection.execute(newest)
            }
            return {
                name: Load(
                    running.get(name, 0), waiting.get(name, 0), failures.get(name)
                )
                for name in running | waiting | failures
            }

        return await self._database.read(operation)
