"""
Quotas: what may still be used, counted so that no two can use the same.

A run reserves what it may take at most in the transaction that accepts it, and the one
that closes it gives back what it did not take. Closing is fenced, so that it happens
once, whoever does it: a crash leaves nothing reserved for longer than its run goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, delete, func, select, update

from llamakeep.domain import Reservation, Run, utc_now
from llamakeep.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    LimitFacts,
    LimitReached,
    ModelNotFound,
    NoProvider,
    PromptRejected,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderUnauthenticated,
    ProviderUnavailable,
    QuotaExceeded,
    TooManyRuns,
    UnsupportedParameter,
)
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import quotas, runs
from llamakeep.storage.history.filters import first_id_at

Unit = Literal["runs", "tokens", "dollars"]
Whose = Literal["user", "api_key", "server"]

REMEMBERED = timedelta(days=62)
"""For how long the counts of a day or month that is over are kept."""

_COUNTS = (
    quotas.c.id,
    quotas.c.running,
    quotas.c.tokens_used,
    quotas.c.tokens_reserved,
    quotas.c.cost_used,
    quotas.c.cost_reserved,
)
# In one order for everybody: those who wait for each other's rows take turns.
_SOME = (
    select(*_COUNTS)
    .where(quotas.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(quotas.c.id)
)
_LOCKED = _SOME.with_for_update()
_IS_OURS = quotas.c.id.in_(bindparam("ids", expanding=True))
_RESERVE = (
    update(quotas)
    .where(_IS_OURS)
    .values(
        running=quotas.c.running + 1,
        tokens_reserved=quotas.c.tokens_reserved + bindparam("tokens"),
        cost_reserved=quotas.c.cost_reserved
        + bindparam("cost", type_=quotas.c.cost_used.type),
    )
)
_SETTLE = (
    update(quotas)
    .where(_IS_OURS)
    .values(
        running=quotas.c.running - 1,
        tokens_reserved=quotas.c.tokens_reserved - bindparam("tokens"),
        tokens_used=quotas.c.tokens_used + bindparam("took_tokens"),
        cost_reserved=quotas.c.cost_reserved
        - bindparam("cost", type_=quotas.c.cost_used.type),
        cost_used=quotas.c.cost_used
        + bindparam("took_cost", type_=quotas.c.cost_used.type),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One limit of somebody's, over a stretch of time."""

    id: str
    """What it is counted under; limits in several units share it."""
    name: str
    """What the limit is called: `tokens_per_day`."""
    whose: Whose
    unit: Unit
    limit: int | Decimal
    user_id: str | None = None
    """`None` for what all users share."""
    api_key_id: str | None = None
    begins_at: datetime | None = None
    ends_at: datetime | None = None
    """When it begins anew; `None` for what is going on at the same time."""

    def left(self, count: "Count") -> int | Decimal:
        """Return what is neither used nor reserved; below zero once it was lowered."""
        return self.limit - count.used(self.unit) - count.reserved(self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How far a quota is used up."""

    running: int = 0
    tokens_used: int = 0
    tokens_reserved: int = 0
    cost_used: Decimal = Decimal(0)
    cost_reserved: Decimal = Decimal(0)

    def used(self, unit: Unit) -> int | Decimal:
        """Return what was taken for good."""
        match unit:
            case "runs":
                return 0
            case "tokens":
                return self.tokens_used
            case "dollars":
                return self.cost_used

    def reserved(self, unit: Unit) -> int | Decimal:
        """Return what runs that are going on may take at most."""
        match unit:
            case "runs":
                return self.running
            case "tokens":
                return self.tokens_reserved
            case "dollars":
                return self.cost_reserved


ERRORS_BEFORE_ANY_WORK = frozenset(
    error.code
    for error in (
        PromptRejected,
        ContextLengthExceeded,
        ContentFiltered,
        ModelNotFound,
        UnsupportedParameter,
        NoProvider,
        ProviderUnavailable,
        ProviderRateLimited,
        ProviderUnauthenticated,
        ProviderOutOfCredit,
    )
)
"""What ends runs before the provider does anything for them."""


class QuotaStorage:
    """One method is one transaction."""

    _database: Database

    async def counts(self, wanted: Sequence[Quota]) -> Sequence[Count]:
        """Return how far each quota is used up."""

        def operation(connection: Connection) -> Sequence[Count]:
            known = _read(connection, wanted)
            return [
                known[quota.id] if quota.id in known else _so_far(connection, quota)
                for quota in wanted
            ]

        return await self._database.read(operation)


def reserve(
    connection: Connection, run: Run, wanted: Sequence[Quota]
) -> LimitReached | None:
    """
    Set aside what `run` may take, in the transaction that is open.

    Returns:
        Why not, if that is more than a quota has left; nothing is set aside then.
    """
    reservation = run.reservation
    assert reservation is not None
    known = _read(connection, wanted, is_locked=True)
    if missing := {quota.id: quota for quota in wanted if quota.id not in known}:
        for quota in missing.values():
            _begin(connection, quota)
        known = _read(connection, wanted, is_locked=True)
    for quota in wanted:
        needed, left = _needed(reservation, quota.unit), quota.left(known[quota.id])
        if needed > left:
            return _refusal(quota, max(0, left), needed)
    connection.execute(_RESERVE, _set_aside(reservation))
    return None


def settle(connection: Connection, run: Run) -> None:
    """Count what a run took, in the transaction that closes it, and free the rest."""
    if run.reservation is None:
        return
    tokens, cost = taken(run)
    give_back(connection, run.reservation, tokens=tokens, cost=cost)


def give_back(
    connection: Connection,
    reservation: Reservation,
    *,
    tokens: int = 0,
    cost: Decimal = Decimal(0),
) -> None:
    """Free what was set aside, but for what was taken of it."""
    values = _set_aside(reservation)
    if connection.dialect.name == "postgresql":
        # An UPDATE takes rows as it finds them, and would wait crosswise.
        connection.execute(_LOCKED, values).close()
    connection.execute(_SETTLE, values | {"took_tokens": tokens, "took_cost": cost})


def taken(run: Run) -> tuple[int, Decimal]:
    """
    Return the tokens and the US dollars that a run which is over counts for.

    Where the provider did not say, because the run broke off, it is about what was
    sent and received; nothing, if the provider was not asked, or refused the prompt.
    """
    reserved, usage = run.reservation, run.usage
    assert reserved is not None
    if usage.input_tokens is not None or usage.output_tokens is not None:
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    elif run.attempt == 0 or (
        run.error_code in ERRORS_BEFORE_ANY_WORK and not run.response
    ):
        tokens = 0
    else:
        # Three bytes of text make about one token; a reservation counts one for each.
        said = reserved.input_tokens + len(run.response.encode())
        tokens = -(-said // 3)
    if usage.cost is not None:
        return tokens, usage.cost
    most = max(reserved.tokens, tokens, 1)
    return tokens, reserved.cost * tokens / most


def _needed(reservation: Reservation, unit: Unit) -> int | Decimal:
    match unit:
        case "runs":
            return 1
        case "tokens":
            return reservation.tokens
        case "dollars":
            return reservation.cost


def _refusal(quota: Quota, left: int | Decimal, needed: int | Decimal) -> LimitReached:
    facts = LimitFacts(quota.name, quota.whose, quota.limit, left, quota.ends_at)
    whose = {"user": "Your", "api_key": "This API key's", "server": "This server's"}
    if quota.unit == "runs":
        return TooManyRuns(
            f"{whose[quota.whose]} limit of {quota.limit:,} prompts at the same time "
            "is reached; nothing was stored. Wait until one of them is answered.",
            limit=facts,
            retry_after=1,
        )
    kind, _, period = quota.name.partition("_per_")
    assert quota.ends_at is not None
    return QuotaExceeded(
        f"{whose[quota.whose]} limit of {quota.limit:,} {kind} per {period} has "
        f"{left:,} left, and this prompt may take up to {needed:,}; nothing was "
        "stored. Send a smaller `max_tokens`, or wait until "
        f"{quota.ends_at:%Y-%m-%d %H:%M} UTC.",
        limit=facts,
        retry_after=(quota.ends_at - utc_now()).total_seconds(),
    )


def _set_aside(reservation: Reservation) -> dict[str, Any]:
    return {
        "ids": list(reservation.quotas),
        "tokens": reservation.tokens,
        "cost": reservation.cost,
    }


def _read(
    connection: Connection, wanted: Sequence[Quota], *, is_locked: bool = False
) -> Mapping[str, Count]:
    ids = sorted({quota.id for quota in wanted})
    rows = connection.execute(_LOCKED if is_locked else _SOME, {"ids": ids})
    return {row.id: Count(**{n: row[n] for n in _NAMES}) for row in rows.mappings()}


_NAMES = [column.name for column in _COUNTS if column.name != "id"]


def _begin(connection: Connection, quota: Quota) -> None:
    """Begin to count, from what was used before, and forget counts of long ago."""
    now = utc_now()
    connection.execute(
        delete(quotas).where(
            quotas.c.user_id == quota.user_id,
            quotas.c.ends_at < now - REMEMBERED,
            is_plausible(now),
        )
    )
    count = _so_far(connection, quota)
    values = {
        "id": quota.id,
        "user_id": quota.user_id,
        "ends_at": quota.ends_at,
        "tokens_used": count.tokens_used,
        "cost_used": count.cost_used,
    }
    # Somebody else may begin at the same moment.
    add = colliding_insert(connection, quotas).values(values).on_conflict_do_nothing()
    connection.execute(add)


def _so_far(connection: Connection, quota: Quota) -> Count:
    """Return what was used before there was a limit; of what all share, nothing."""
    if quota.begins_at is None or quota.user_id is None:
        return Count()
    tokens = func.coalesce(runs.c.input_tokens, 0) + func.coalesce(
        runs.c.output_tokens, 0
    )
    query = select(
        func.coalesce(func.sum(tokens), 0), func.coalesce(func.sum(runs.c.cost), 0)
    ).where(runs.c.user_id == quota.user_id, runs.c.id >= first_id_at(quota.begins_at))
    if quota.api_key_id is not None:
        query = query.where(runs.c.api_key_id == quota.api_key_id)
    used, cost = connection.execute(query).one()
    return Count(tokens_used=int(used), cost_used=Decimal(cost))
