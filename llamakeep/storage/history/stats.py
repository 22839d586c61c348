"""Statistics of a user's runs, by day, model, API key or end user."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    case,
    cast,
    func,
    select,
    type_coerce,
)

from llamakeep.domain import RunStatus, User
from llamakeep.storage.database.tables import FAILED_WAYS, runs
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import SearchStorage

_BILLION = 10**9
"""Costs are stored in billionths of a dollar."""

MOST_END_USERS = 1000
"""How many end users are shown; a client may ask for any number of them."""


class Grouping(StrEnum):
    """What runs are grouped by."""

    DAY = "day"
    MODEL = "model"
    API_KEY = "api_key"
    END_USER = "end_user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The statistics of a group of runs."""

    group: str | None
    """The day in UTC, the model with its provider, the API key's id, the end user."""
    runs: int
    succeeded: int
    failed: int
    """Ended otherwise; the remaining runs are unfinished."""
    input_tokens: int
    output_tokens: int
    cost: Decimal
    """US dollars, where prices are known."""
    latency_p50: float | None
    """Seconds from a prompt to the end of its answer, of succeeded runs."""
    latency_p90: float | None
    latency_p99: float | None


class StatsStorage(SearchStorage):
    """Computes statistics."""

    async def stats(
        self, user: User, matching: RunFilter, *, by: Grouping
    ) -> Sequence[Stats]:
        """
        Return the statistics of matching runs, group by group.

        Of end users, they are those with the most runs: `MOST_END_USERS`, and one more
        if there are more.
        """

        def operation(connection: Connection) -> Sequence[Stats]:
            query = _stats(user, matching, by, connection.dialect.name)
            return [
                Stats(
                    group=row.label,
                    runs=row.runs,
                    succeeded=row.succeeded,
                    failed=row.failed,
                    input_tokens=int(row.input_tokens or 0),
                    output_tokens=int(row.output_tokens or 0),
                    cost=_dollars(row.dollars, row.billionths),
                    latency_p50=_seconds(row.p50),
                    latency_p90=_seconds(row.p90),
                    latency_p99=_seconds(row.p99),
                )
                for row in connection.execute(query)
            ]

        if matching.search is not None:
            await self._index_all()
        return await self._database.read(operation)


def _stats(
    user: User, matching: RunFilter, by: Grouping, dialect: str
) -> Select[*tuple[Any, ...]]:
    has_answer = runs.c.status == RunStatus.SUCCEEDED
    label = _label(by, dialect)
    peers = (label, has_answer)
    latency = _microseconds(runs.c.finished_at, dialect) - _microseconds(
        runs.c.created_at, dialect
    )
    each = (
        select(
            label.label("label"),
            has_answer.label("has_answer"),
            runs.c.status.in_(FAILED_WAYS).label("has_failed"),
            runs.c.input_tokens,
            runs.c.output_tokens,
            runs.c.cost,
            latency.label("latency"),
            func.row_number().over(partition_by=peers, order_by=latency).label("place"),
            func.count().over(partition_by=peers).label("places"),
        )
        .where(*matching.conditions(user, dialect))
        .subquery()
    )

    cost = type_coerce(each.c.cost, BigInteger)

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    def percentile(percent: int) -> ColumnElement[int]:
        # Nearest-rank percentile.
        is_it = each.c.place == (each.c.places * percent + 99) // 100
        return func.max(case((each.c.has_answer & is_it, each.c.latency)))

    count_of_runs = func.count().label("runs")
    order: tuple[ColumnElement[Any], ...] = (each.c.label.desc().nulls_last(),)
    most = None
    if by is Grouping.END_USER:
        order = count_of_runs.desc(), each.c.label.nulls_last()
        most = MOST_END_USERS + 1
    return (
        select(
            each.c.label,
            count_of_runs,
            count(each.c.has_answer).label("succeeded"),
            count(each.c.has_failed).label("failed"),
            func.sum(each.c.input_tokens).label("input_tokens"),
            func.sum(each.c.output_tokens).label("output_tokens"),
            # The sum of all billionths may overflow SQLite's integers.
            func.sum(cost // _BILLION).label("dollars"),
            func.sum(cost % _BILLION).label("billionths"),
            *(percentile(percent).label(f"p{percent}") for percent in (50, 90, 99)),
        )
        .group_by(each.c.label)
        .order_by(*order)
        .limit(most)
    )


def _label(by: Grouping, dialect: str) -> ColumnElement[str]:
    if by is Grouping.MODEL:
        return runs.c.provider + ":" + runs.c.model
    if by is Grouping.API_KEY:
        return runs.c.api_key_id
    if by is Grouping.END_USER:
        return runs.c.end_user
    seconds = _microseconds(runs.c.created_at, dialect) // 1_000_000
    if dialect == "postgresql":
        return func.to_char(
            func.timezone("UTC", func.to_timestamp(seconds)), "YYYY-MM-DD"
        )
    return func.date(seconds, "unixepoch")


def _microseconds(moment: ColumnElement[Any], dialect: str) -> ColumnElement[int]:
    if dialect == "postgresql":
        return cast(func.extract("epoch", moment) * 1_000_000, BigInteger)
    return type_coerce(moment, BigInteger)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000


def _dollars(whole: int | None, billionths: int | None) -> Decimal:
    return Decimal(whole or 0) + Decimal(billionths or 0).scaleb(-9)
