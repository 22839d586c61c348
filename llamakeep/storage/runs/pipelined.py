"""
Steps of runs as single statements, which PostgreSQL is sent for many callers at once.

A statement returns a row where it has done all of its step. Where it returns none it
has changed nothing, and the step's operation finds out why. Imported on PostgreSQL
only.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    any_,
    bindparam,
    column,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from llamakeep.domain import Reservation, Run, RunEvent
from llamakeep.domain.quotas import Quota
from llamakeep.domain.states import ENDS
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.pipelines import LOCKS
from llamakeep.storage.database.port import Operation, T
from llamakeep.storage.database.prepared import Change, Prepared
from llamakeep.storage.database.tables import quotas, run_tags, runs
from llamakeep.storage.history.indexing import WORDS, indexed_runs
from llamakeep.storage.history.tags import tags_of
from llamakeep.storage.runs.finishing import written
from llamakeep.storage.runs.quotas import RESERVED, SETTLED, set_aside, took
from llamakeep.storage.runs.rows import NAMES
from llamakeep.storage.runs.transitions import MINE, transition

_MOST = ("most_runs", "most_tokens", "most_cost")
"""Lists of limits, as long as that of the quotas' ids."""
_UNLIMITED = 2**62
_NOTHING = Reservation(quotas=(), input_tokens=0, output_tokens=0, cost=Decimal(0))
_PARAMETERS = sorted(
    {*NAMES, "owner", "idempotency_key", "request_digest"}
    - {"cancel_requested", "handle"}
)
_ROW: Mapping[str, ColumnElement[Any]] = {
    **{name: bindparam(name, type_=runs.c[name].type) for name in _PARAMETERS},
    "lease_until": seconds_from_now("lease"),
    "search_words": WORDS,
}

_IDS = bindparam("quota_ids", type_=ARRAY(Text))
_LOCKED = (
    select(quotas)
    .where(quotas.c.id == any_(bindparam(LOCKS, type_=ARRAY(Text))))
    .order_by(quotas.c.id)
    .with_for_update()
    .cte("locked")
)
_OURS = quotas.c.id == any_(_IDS)


def _accept() -> Prepared:
    query = postgresql.insert(indexed_runs).values(dict(_ROW))
    return Prepared(query.on_conflict_do_nothing())


def _accept_more() -> Prepared:
    """Return the statement of a run with quotas or tags."""
    most = [bindparam(name, type_=ARRAY(BigInteger)) for name in _MOST]
    wanted = (
        func.unnest(_IDS, *most)
        .table_valued(column("id", Text), *(column(n, BigInteger) for n in _MOST))
        .render_derived(name="wanted")
    )
    tokens = bindparam("reserved_tokens", type_=BigInteger)
    cost = bindparam("reserved_cost", type_=quotas.c.cost_used.type)
    fitting = (
        select(func.count())
        .select_from(wanted.join(_LOCKED, _LOCKED.c.id == wanted.c.id))
        .where(
            _LOCKED.c.running < wanted.c.most_runs,
            _LOCKED.c.tokens_used + _LOCKED.c.tokens_reserved + tokens
            <= wanted.c.most_tokens,
            _LOCKED.c.cost_used + _LOCKED.c.cost_reserved + cost <= wanted.c.most_cost,
        )
        .scalar_subquery()
    )
    row = select(*_ROW.values()).where(fitting == func.cardinality(_IDS))
    accepted = (
        postgresql.insert(indexed_runs)
        .from_select([*_ROW], row)
        .on_conflict_do_nothing()
        .returning(indexed_runs.c.id, indexed_runs.c.user_id)
        .cte("accepted")
    )
    reserved = (
        update(quotas).where(_OURS, exists(select(accepted.c.id))).values(RESERVED)
    )
    tags = (
        func.unnest(bindparam("tags", type_=ARRAY(Text)))
        .table_valued(column("tag", Text))
        .render_derived(name="tags")
    )
    tagged = insert(run_tags).from_select(
        ["user_id", "tag", "run_id"],
        select(accepted.c.user_id, tags.c.tag, accepted.c.id).select_from(
            accepted, tags
        ),
    )
    return Prepared(_with(accepted, reserved=reserved, tagged=tagged))


def _finish_more(event: RunEvent) -> Prepared:
    """Return the statement that ends a run with quotas."""
    # Never false: it has the quotas locked first, in the order of their ids.
    has_locked = select(func.count(_LOCKED.c.id)).scalar_subquery()
    closed = (
        transition(event, *MINE, table=indexed_runs)
        .values({**written(), "search_words": WORDS})
        .where(has_locked >= literal_column("0"))
        .returning(indexed_runs.c.id)
        .cte("closed")
    )
    settled = update(quotas).where(_OURS, exists(select(closed.c.id))).values(SETTLED)
    return Prepared(_with(closed, settled=settled))


def _with(changed: CTE, **others: Any) -> Select[Any]:
    """Return what a statement changed; other ones depend on it."""
    return select(changed.c.id).add_cte(
        *[other.cte(name) for name, other in others.items()]
    )


_ACCEPT, _ACCEPT_MORE = _accept(), _accept_more()
_FINISH_MORE = {status: _finish_more(event) for event, status in ENDS.items()}
_UNITS = ("runs", "tokens", "dollars")


def accepting(
    operation: Operation[T],
    run: Run,
    values: Mapping[str, Any],
    limits: Sequence[Quota],
) -> Operation[T | Run]:
    """Return an operation that stores a new run, with a statement if one can do it."""
    is_counted = any(limit.unit == "prompts" for limit in limits)
    if run.images or run.notifications or is_counted:
        return operation
    if run.reservation is None and not run.metadata:
        return Change(operation, _ACCEPT, values, run)
    values = {
        **values,
        **_reserving(run, limits),
        "tags": sorted(tags_of(run.metadata)),
    }
    return Change(operation, _ACCEPT_MORE, values, run)


def finishing(
    operation: Operation[bool], run: Run, statement: Prepared, values: Mapping[str, Any]
) -> Operation[bool]:
    """Return an operation that ends a run; without quotas, `statement` does it."""
    if run.reservation is None:
        return Change(operation, statement, values, True)
    values = {**values, **_quotas_of(run.reservation), **took(run)}
    return Change(operation, _FINISH_MORE[run.status], values, True)


def _reserving(run: Run, limits: Sequence[Quota]) -> Mapping[str, Any]:
    reservation = run.reservation or _NOTHING
    most = {id_: [_UNLIMITED] * len(_UNITS) for id_ in reservation.quotas}
    for each in limits:
        at = _UNITS.index(each.unit)
        limit = each.limit if each.unit != "dollars" else Decimal(each.limit).scaleb(9)
        most[each.id][at] = min(int(limit), most[each.id][at])
    columns = zip(*most.values(), strict=True) if most else ((), (), ())
    return {**_quotas_of(reservation), **dict(zip(_MOST, columns, strict=True))}


def _quotas_of(reservation: Reservation) -> Mapping[str, Any]:
    values = set_aside(reservation)
    return {**values, "quota_ids": values["ids"], LOCKS: values["ids"]}
