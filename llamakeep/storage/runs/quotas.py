"""
Quotas: reserve before a run, settle after it, in its transactions.

The transaction that accepts a run reserves the most it may use, and the one that closes
it frees what it did not use. Closing is fenced, so that it happens once, in whichever
process: after a crash, a reservation lasts no longer than its run.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from llamakeep.domain import Reservation, Run, first_id, utc_now
from llamakeep.domain.quotas import Count, Quota, Unit
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

_UPSTREAM = "upstream:"
"""What the ids of upstreams' counts begin with."""

REMEMBERED = timedelta(days=62)
"""How long the counts of a past day or month are kept."""

_COUNTS = (
    quotas.c.id,
    quotas.c.running,
    quotas.c.tokens_used,
    quotas.c.tokens_reserved,
    quotas.c.cost_used,
    quotas.c.cost_reserved,
)
# Every transaction locks these rows in the same order, which avoids deadlocks.
_SOME = (
    select(*_COUNTS)
    .where(quotas.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(quotas.c.id)
)
_LOCKED = _SOME.with_for_update()
_IS_OURS = quotas.c.id.in_(bindparam("ids", expanding=True))
_ONE: ColumnElement[int] = literal_column("1")  # `Prepared` takes no values
_COST = quotas.c.cost_used.type
# A run may reserve of several upstreams, one of which answers it.
_IS_COUNTED = or_(
    func.substr(quotas.c.id, _ONE, literal_column(str(len(_UPSTREAM))))
    != literal_column(f"'{_UPSTREAM}'"),
    func.substr(quotas.c.id, _ONE, func.length(bindparam("its_upstream", type_=Text)))
    == bindparam("its_upstream", type_=Text),
)


def _counted(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    return case(
        (_IS_COUNTED, bindparam(name, type_=type_)), else_=literal_column("0", type_)
    )


RESERVED = {
    quotas.c.running: quotas.c.running + _ONE,
    quotas.c.tokens_reserved: quotas.c.tokens_reserved + bindparam("reserved_tokens"),
    quotas.c.cost_reserved: quotas.c.cost_reserved
    + bindparam("reserved_cost", type_=_COST),
}
"""What an UPDATE sets that reserves."""
SETTLED = {
    quotas.c.running: quotas.c.running - _ONE,
    quotas.c.tokens_reserved: quotas.c.tokens_reserved - bindparam("reserved_tokens"),
    quotas.c.tokens_used: quotas.c.tokens_used + _counted("took_tokens", BigInteger()),
    quotas.c.cost_reserved: quotas.c.cost_reserved
    - bindparam("reserved_cost", type_=_COST),
    quotas.c.cost_used: quotas.c.cost_used + _counted("took_cost", _COST),
}
"""What an UPDATE sets that settles."""
_RESERVE = update(quotas).where(_IS_OURS).values(RESERVED)
_SETTLE = update(quotas).where(_IS_OURS).values(SETTLED)


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
"""Errors that a provider reports before it does any work."""


class QuotaStorage:
    """Reads counts of quotas."""

    _database: Database

    async def counts(self, wanted: Sequence[Quota]) -> Sequence[Count]:
        """Return the count of each quota."""

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
    Reserve the most that `run` may use, in the caller's transaction.

    Returns:
        The refusal, with nothing reserved, if a quota has less left.
    """
    for quota in wanted:
        if quota.unit == "prompts" and _prompts_left(connection, quota) < 1:
            return _refusal(quota, 0, 1)
    reservation = run.reservation
    if reservation is None:
        return None
    wanted = [quota for quota in wanted if quota.unit != "prompts"]
    known = _read(connection, wanted, is_locked=True)
    if missing := {quota.id: quota for quota in wanted if quota.id not in known}:
        for quota in missing.values():
            _begin(connection, quota)
        known = _read(connection, wanted, is_locked=True)
    for quota in wanted:
        needed, left = _needed(reservation, quota.unit), quota.left(known[quota.id])
        if needed > left:
            return _refusal(quota, max(0, left), needed)
    connection.execute(_RESERVE, set_aside(reservation))
    return None


def settle(connection: Connection, run: Run) -> None:
    """Count what a run used, and free the rest of its reservation."""
    if run.reservation is None:
        return
    give_back(connection, run.reservation, took(run))


def took(run: Run) -> Mapping[str, Any]:
    """Return the parameters of statements that settle, for what `run` used."""
    tokens, cost = taken(run)
    upstream = f"{_UPSTREAM}{run.provider}:"
    return {"took_tokens": tokens, "took_cost": cost, "its_upstream": upstream}


def is_counted(id_: str, its_upstream: str) -> bool:
    """Return whether what a run of an upstream used belongs to a count."""
    return not id_.startswith(_UPSTREAM) or id_.startswith(its_upstream)


_NOTHING = {"took_tokens": 0, "took_cost": Decimal(0), "its_upstream": ""}


def give_back(
    connection: Connection,
    reservation: Reservation,
    used: Mapping[str, Any] = _NOTHING,
) -> None:
    """Free a reservation, and count what was used of it; see `took`."""
    values = set_aside(reservation)
    if connection.dialect.name == "postgresql":
        # Lock in order first: an UPDATE locks rows in any order, and could deadlock.
        connection.execute(_LOCKED, values).close()
    connection.execute(_SETTLE, {**values, **used})


def taken(run: Run) -> tuple[int, Decimal]:
    """
    Return the tokens and US dollars that count for a finished run.

    Where the provider reported no usage, because the run broke off, they are estimated
    from the texts sent and received; zero if the provider got no request or refused it.
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
        case "runs" | "prompts":
            return 1
        case "tokens":
            return reservation.tokens
        case "dollars":
            return reservation.cost


def _refusal(quota: Quota, left: int | Decimal, needed: int | Decimal) -> LimitReached:
    facts = LimitFacts(
        quota.name, quota.whose, quota.limit, left, quota.ends_at, quota.subject
    )
    whose = {
        "user": "Your",
        "api_key": "This API key's",
        "server": "This server's",
        "upstream": f"The upstream {quota.subject!r} has a limit, and its",
        "alias": f"The alias {quota.subject!r} has a limit, and its",
    }
    if quota.unit == "runs":
        return TooManyRuns(
            f"{whose[quota.whose]} limit of {quota.limit:,} prompts at the same time "
            "is reached; nothing was stored. Wait until one of them is answered.",
            limit=facts,
            retry_after=1,
        )
    kind, _, period = quota.name.partition("_per_")
    assert quota.ends_at is not None
    if quota.unit == "prompts":
        return QuotaExceeded(
            f"{whose[quota.whose]} limit of {quota.limit:,} prompts a day for each end "
            f"user is reached by {quota.end_user!a}; nothing was stored. Wait until "
            f"{quota.ends_at:%Y-%m-%d %H:%M} UTC.",
            limit=facts,
            retry_after=(quota.ends_at - utc_now()).total_seconds(),
        )
    return QuotaExceeded(
        f"{whose[quota.whose]} limit of {quota.limit:,} {kind} per {period} has "
        f"{left:,} left, and this prompt may take up to {needed:,}; nothing was "
        "stored. Send a smaller `max_tokens`, or wait until "
        f"{quota.ends_at:%Y-%m-%d %H:%M} UTC.",
        limit=facts,
        retry_after=(quota.ends_at - utc_now()).total_seconds(),
    )


def _prompts_left(connection: Connection, quota: Quota) -> int:
    """Return how many prompts an end user has left, counted in the history."""
    assert quota.begins_at is not None
    if connection.dialect.name == "postgresql":
        # Two concurrent prompts would not see each other.
        key = sha256(f"{quota.user_id} {quota.end_user}".encode()).digest()[:8]
        lock = func.pg_advisory_xact_lock(int.from_bytes(key, signed=True))
        connection.execute(select(lock)).close()
    some = select(runs.c.id).where(
        runs.c.user_id == quota.user_id,
        runs.c.end_user == quota.end_user,
        runs.c.id >= first_id("run_", quota.begins_at),
    )
    if quota.api_key_id is not None:
        some = some.where(runs.c.api_key_id == quota.api_key_id)
    count = select(func.count()).select_from(some.limit(int(quota.limit)).subquery())
    return int(quota.limit) - (connection.scalar(count) or 0)


def set_aside(reservation: Reservation) -> dict[str, Any]:
    """Return the parameters of statements that reserve or settle."""
    return {
        "ids": list(reservation.quotas),
        "reserved_tokens": reservation.tokens,
        "reserved_cost": reservation.cost,
    }


def _read(
    connection: Connection, wanted: Sequence[Quota], *, is_locked: bool = False
) -> Mapping[str, Count]:
    ids = sorted({quota.id for quota in wanted})
    rows = connection.execute(_LOCKED if is_locked else _SOME, {"ids": ids})
    return {row.id: Count(**{n: row[n] for n in _NAMES}) for row in rows.mappings()}


_NAMES = [column.name for column in _COUNTS if column.name != "id"]


def _begin(connection: Connection, quota: Quota) -> None:
    """Insert a count with what was used before, and delete counts of long ago."""
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
    # Another transaction may insert it at the same moment.
    add = colliding_insert(connection, quotas).values(values).on_conflict_do_nothing()
    connection.execute(add)


def _so_far(connection: Connection, quota: Quota) -> Count:
    """Return what was used before the limit was set; zero for limits that all share."""
    if quota.begins_at is None or quota.user_id is None:
        return Count()
    tokens = func.coalesce(runs.c.input_tokens, 0) + func.coalesce(
        runs.c.output_tokens, 0
    )
    query = select(
        func.coalesce(func.sum(tokens), 0), func.coalesce(func.sum(runs.c.cost), 0)
    ).where(
        runs.c.user_id == quota.user_id, runs.c.id >= first_id("run_", quota.begins_at)
    )
    if quota.api_key_id is not None:
        query = query.where(runs.c.api_key_id == quota.api_key_id)
    used, cost = connection.execute(query).one()
    return Count(tokens_used=int(used), cost_used=Decimal(cost))
