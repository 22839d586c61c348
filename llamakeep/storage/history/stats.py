"""Statistics of runs, by some of their facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    String,
    Subquery,
    and_,
    case,
    cast,
    func,
    null,
    or_,
    select,
    type_coerce,
)

from llamakeep.domain import RunStatus, User
from llamakeep.storage.database.conditions import FAILED_WAYS
from llamakeep.storage.database.tables import run_tags, runs
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import SearchStorage

_BILLION = 10**9
"""Costs are stored in billionths of a dollar."""

MOST, MOST_BY_DAY = 1000, 5000
"""
How many groups are shown where there may be any number of them, and where days are
among them: 13 years of days, or a year of days with some models each.
"""


PERCENTS = (50, 90, 99)


class Grouping(StrEnum):
    """What runs are grouped by."""

    DAY = "day"
    MODEL = "model"
    API_KEY = "api_key"
    END_USER = "end_user"
    STATUS = "status"
    SOURCE = "source"
    USER = "user"
    TAG = "tag"
    """A run is in the groups of all its tags, `key` and `key:value`."""


_LABELS: Mapping[Grouping, ColumnElement[Any]] = {
    Grouping.MODEL: runs.c.provider + ":" + runs.c.model,
    Grouping.API_KEY: runs.c.api_key_id,
    Grouping.END_USER: runs.c.end_user,
    Grouping.STATUS: type_coerce(runs.c.status, String),
    Grouping.SOURCE: runs.c.source,
    Grouping.USER: runs.c.user_id,
    Grouping.TAG: run_tags.c.tag,
}
"""Their columns; the day's expression depends on the database."""

_MANY = frozenset({Grouping.END_USER, Grouping.TAG, Grouping.USER})
"""Those of which there may be any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The statistics of a group of runs."""

    groups: Sequence[str | None]
    """
    The value of each grouping: the day in UTC, the model with its provider, the API
    key's id, the end user, the status, the source, the tag. `None` for runs without
    one.
    """
    runs: int
    succeeded: int
    failed: int
    """Ended otherwise; the remaining runs are unfinished."""
    input_tokens: int
    output_tokens: int
    cost: Decimal
    """US dollars, where prices are known."""
    unpriced: int
    """Runs that were answered, or that took tokens, without a known cost."""
    latency_p50: float | None
    """Seconds from a prompt to the end of its answer, of succeeded runs."""
    latency_p90: float | None
    latency_p99: float | None
    first_word_p50: float | None = None
    """
    Seconds from a prompt to the first word of its answer, where that is known and was
    asked for.
    """
    first_word_p90: float | None = None
    first_word_p99: float | None = None


class StatsStorage(SearchStorage):
    """Computes statistics."""

    async def stats(
        self,
        user: User | None,
        matching: RunFilter,
        *,
        by: Sequence[Grouping],
        has_first_words: bool = False,
        most: int | None = None,
    ) -> tuple[Sequence[Stats], bool]:
        """
        Return the statistics of matching runs, group by group, and whether more exist.

        Without `user`, they are of all users' runs; then no tag, conversation or search
        is among the filters, and no tag among the groupings.

        First words take as long again, and are only summed up if `has_first_words`.
        The latest days are first; without days, where there may be any number of
        groups, those with the most runs. There are `most` of them, else as many as
        `most_groups` says.
        """
        most = most or most_groups(by)

        def operation(connection: Connection) -> Sequence[Stats]:
            dialect = connection.dialect.name
            each = _each(user, matching, by, dialect, has_first_words=has_first_words)
            query = _sums(each, by, most, has_first_words=has_first_words)
            return [_to_stats(row, len(by)) for row in connection.execute(query)]

        if matching.search is not None:
            await self._index_all()
        found = await self._database.read(operation)
        return found[:most], most is not None and len(found) > most


def most_groups(by: Sequence[Grouping]) -> int | None:
    """Return how many groups are shown; `None` where there are few by nature."""
    if Grouping.DAY in by:
        return MOST_BY_DAY
    return MOST if len(by) > 1 or _MANY.intersection(by) else None


def _to_stats(row: Row[Any], groupings: int) -> Stats:
    return Stats(
        groups=tuple(row[:groupings]),
        runs=row.runs,
        succeeded=row.succeeded,
        failed=row.failed,
        input_tokens=int(row.input_tokens or 0),
        output_tokens=int(row.output_tokens or 0),
        cost=_dollars(row.dollars, row.billionths),
        unpriced=row.unpriced,
        latency_p50=_seconds(row.p50),
        latency_p90=_seconds(row.p90),
        latency_p99=_seconds(row.p99),
        first_word_p50=_seconds(row.first_p50),
        first_word_p90=_seconds(row.first_p90),
        first_word_p99=_seconds(row.first_p99),
    )


def _each(
    user: User | None,
    matching: RunFilter,
    by: Sequence[Grouping],
    dialect: str,
    *,
    has_first_words: bool,
) -> Subquery:
    """Return a row for each run, with its place among the times of its group."""
    has_answer = runs.c.status == RunStatus.SUCCEEDED
    labels = [_label(each, dialect) for each in by]
    peers = (*labels, has_answer)
    latency = _microseconds(runs.c.finished_at, dialect) - _microseconds(
        runs.c.created_at, dialect
    )
    columns: list[ColumnElement[Any]] = []
    if has_first_words:
        first = runs.c.first_word_after
        columns = [
            first,
            # Runs of which it is not known are last, and not counted.
            func.row_number()
            .over(partition_by=peers, order_by=first.nulls_last())
            .label("first_place"),
            func.count(first).over(partition_by=peers).label("first_places"),
        ]
    return (
        select(
            *(label.label(f"label_{n}") for n, label in enumerate(labels)),
            has_answer.label("has_answer"),
            runs.c.status.in_(FAILED_WAYS).label("has_failed"),
            runs.c.input_tokens,
            runs.c.output_tokens,
            runs.c.cost,
            latency.label("latency"),
            func.row_number().over(partition_by=peers, order_by=latency).label("place"),
            func.count().over(partition_by=peers).label("places"),
            *columns,
        )
        .select_from(_source(user, by))
        .where(*matching.conditions(user, dialect))
        .subquery()
    )


def _source(user: User | None, by: Sequence[Grouping]) -> FromClause:
    if Grouping.TAG not in by:
        return runs
    assert user is not None
    is_its = and_(run_tags.c.run_id == runs.c.id, run_tags.c.user_id == user.id)
    return runs.outerjoin(run_tags, is_its)


def _sums(
    each: Subquery,
    by: Sequence[Grouping],
    most: int | None,
    *,
    has_first_words: bool,
) -> Select[*tuple[Any, ...]]:
    """Sum up the groups, in their order."""
    cost = type_coerce(each.c.cost, BigInteger)

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    def percentile(percent: int, of: str, prefix: str = "") -> ColumnElement[int]:
        # Nearest-rank percentile.
        places = each.c[f"{prefix}places"]
        is_it = each.c[f"{prefix}place"] == (places * percent + 99) // 100
        found = func.max(case((each.c.has_answer & is_it, each.c[of])))
        return found.label(f"{prefix}p{percent}")

    labels = [each.c[f"label_{n}"] for n, _ in enumerate(by)]
    has_taken = or_(each.c.has_answer, each.c.output_tokens.is_not(None))
    count_of_runs = func.count().label("runs")
    order: list[ColumnElement[Any]] = [labels[0].desc().nulls_last()]
    if most is not None:
        days = [labels[by.index(Grouping.DAY)].desc()] if Grouping.DAY in by else []
        rest = [label.nulls_last() for label in labels]
        order = [*days, count_of_runs.desc(), *rest]
    return (
        select(
            *labels,
            count_of_runs,
            count(each.c.has_answer).label("succeeded"),
            count(each.c.has_failed).label("failed"),
            func.sum(each.c.input_tokens).label("input_tokens"),
            func.sum(each.c.output_tokens).label("output_tokens"),
            # The sum of all billionths may overflow SQLite's integers.
            func.sum(cost // _BILLION).label("dollars"),
            func.sum(cost % _BILLION).label("billionths"),
            count(and_(each.c.cost.is_(None), has_taken)).label("unpriced"),
            *(percentile(percent, "latency") for percent in PERCENTS),
            *(
                percentile(percent, "first_word_after", "first_")
                if has_first_words
                else null().label(f"first_p{percent}")
                for percent in PERCENTS
            ),
        )
        .group_by(*labels)
        .order_by(*order)
        .limit(None if most is None else most + 1)
    )


def _label(by: Grouping, dialect: str) -> ColumnElement[Any]:
    if by is not Grouping.DAY:
        return _LABELS[by]
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
