"""
Steps of runs of many callers as one statement each, which PostgreSQL is sent.

A statement returns the ids of the runs of which it has done all of the step. For the
others it has changed nothing, and the step's operation finds out why. Imported on
PostgreSQL only.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    TIMESTAMP,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Subquery,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from llamakeep.domain import Reservation, Run, RunEvent
from llamakeep.domain.quotas import Quota
from llamakeep.domain.states import ENDS
from llamakeep.storage.database.columns import Dollars, Facts, UtcDateTime
from llamakeep.storage.database.port import Operation, T
from llamakeep.storage.database.prepared import Change, Together
from llamakeep.storage.database.tables import quotas, run_tags, runs
from llamakeep.storage.history.indexing import indexed_runs
from llamakeep.storage.history.tags import tags_of
from llamakeep.storage.runs.finishing import written
from llamakeep.storage.runs.quotas import is_counted, set_aside, took
from llamakeep.storage.runs.rows import NAMES
from llamakeep.storage.runs.transitions import transition

_MOST = ("most_runs", "most_tokens", "most_cost")
"""Lists of limits, as long as that of the quotas' ids."""
_RESERVED = ("reserved_tokens", "reserved_cost")
_TOOK = ("took_tokens", "took_cost")
_UNLIMITED = 2**62
_NOTHING = Reservation(quotas=(), input_tokens=0, output_tokens=0, cost=Decimal(0))
_STORED = sorted(
    {*NAMES, "owner", "idempotency_key", "request_digest"}
    - {"id", "cancel_requested", "handle"}
)


def _sent_as(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of which PostgreSQL is sent lists."""
    match type_:
        case UtcDateTime():
            return TIMESTAMP(timezone=True)
        case Dollars():
            return BigInteger()
        case JSON() | Facts() | String():
            return Text()  # without a length, to which it would be cut off
    return type_


def _unnested(name: str, types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Return the rows that lists of parameters make."""
    sent = {each: _sent_as(type_) for each, type_ in types.items()}
    lists = [bindparam(each, type_=ARRAY(type_)) for each, type_ in sent.items()]
    columns = [column(each, type_) for each, type_ in sent.items()]
    return func.unnest(*lists).table_valued(*columns).render_derived(name=name)


def _stored(given: TableValuedAlias, name: str, of: str) -> ColumnElement[Any]:
    """Return the value of a column of runs."""
    value = given.c[name]
    is_json = isinstance(runs.c[of].type, JSON | Facts)
    return cast(value, JSON) if is_json else value


def _numbers(names: Sequence[str]) -> dict[str, TypeEngine[Any]]:
    return dict.fromkeys(names, BigInteger())


def _is_among(key: ColumnElement[str], ids: str) -> ColumnElement[bool]:
    """Return a condition that a join implies: with it, the key's index is used."""
    return key == any_(bindparam(ids, type_=ARRAY(Text)))


def _locked() -> CTE:
    """Lock the counts of all callers' quotas in the order of their ids."""
    query = select(quotas).where(_is_among(quotas.c.id, "quota_ids"))
    return query.order_by(quotas.c.id).with_for_update().cte("locked")


def _accept() -> Together:
    columns: dict[str, TypeEngine[Any]] = {
        "id": Text(),
        **{name: runs.c[name].type for name in _STORED},
        "words": Text(),
        "quotas": Integer(),
    }
    given = _unnested("given", columns)
    rest = {"quota_ids": Text(), **_numbers((*_MOST, *_RESERVED))}
    wanted = select(_unnested("wanted", {"quotas_of": Text(), **rest})).cte("wanted")
    fitting = _fitting(wanted, _locked())
    row = {
        "id": given.c.id,
        **{name: _stored(given, name, name) for name in _STORED},
        "search_words": func.words_to_index(given.c.words),
    }
    fits = func.coalesce(fitting.c.number, literal_column("0"))
    rows = (
        select(*row.values())
        .outerjoin(fitting, fitting.c.run_id == given.c.id)
        .where(given.c.quotas == fits)
    )
    accepted = (
        postgresql.insert(indexed_runs)
        .from_select([*row], rows)
        .on_conflict_do_nothing()
        .returning(indexed_runs.c.id, indexed_runs.c.user_id)
        .cte("accepted")
    )
    sums = _sums(wanted, accepted, _RESERVED)
    reserved = (
        update(quotas)
        .where(quotas.c.id == sums.c.id, _is_among(quotas.c.id, "quota_ids"))
        .values(
            running=quotas.c.running + sums.c.number,
            tokens_reserved=quotas.c.tokens_reserved + sums.c.reserved_tokens,
            cost_reserved=quotas.c.cost_reserved + sums.c.reserved_cost,
        )
    )
    tags = _unnested("tags", {"tags_of": Text(), "tags": Text()})
    tagged = insert(run_tags).from_select(
        ["user_id", "tag", "run_id"],
        select(accepted.c.user_id, tags.c.tags, accepted.c.id).join(
            tags, tags.c.tags_of == accepted.c.id
        ),
    )
    return Together(
        _with(accepted, reserved=reserved, tagged=tagged),
        columns,
        {"quotas_of": [*rest], "tags_of": ["tags"]},
    )


def _fitting(wanted: CTE, locked: CTE) -> CTE:
    """
    Return how many of its limits each run keeps, as if all before it were stored.

    Those that are not stored only count too much.
    """
    number, more_tokens, more_cost = (
        each.over(partition_by=wanted.c.quota_ids, order_by=wanted.c.quotas_of)
        for each in (
            func.row_number(),
            func.sum(wanted.c.reserved_tokens),
            func.sum(wanted.c.reserved_cost),
        )
    )
    tokens = locked.c.tokens_used + locked.c.tokens_reserved
    cost = locked.c.cost_used + locked.c.cost_reserved
    each = (
        select(
            wanted.c.quotas_of.label("run_id"),
            (locked.c.running + number <= wanted.c.most_runs).label("has_turn"),
            (tokens + more_tokens <= wanted.c.most_tokens).label("reads"),
            (cost + more_cost <= wanted.c.most_cost).label("pays"),
        )
        .join(locked, locked.c.id == wanted.c.quota_ids)
        .subquery("each")
    )
    return (
        select(each.c.run_id, func.count().label("number"))
        .where(each.c.has_turn, each.c.reads, each.c.pays)
        .group_by(each.c.run_id)
        .cte("fitting")
        .prefix_with("MATERIALIZED")
    )


def _sums(wanted: CTE, changed: CTE, names: Sequence[str]) -> Subquery:
    """Return by how much the runs that were changed change each count."""
    amounts = [cast(func.sum(wanted.c[name]), BigInteger).label(name) for name in names]
    return (
        select(wanted.c.quota_ids.label("id"), func.count().label("number"), *amounts)
        .join(changed, changed.c.id == wanted.c.quotas_of)
        .group_by(wanted.c.quota_ids)
        .subquery("sums")
    )


def _finish(event: RunEvent) -> Together:
    names = {f"new_{name}": name for name in written()}
    columns: dict[str, TypeEngine[Any]] = {
        "run_id": Text(),
        "fence": Integer(),
        **{new: runs.c[name].type for new, name in names.items()},
        "words": Text(),
    }
    given = _unnested("given", columns)
    rest = {"quota_ids": Text(), **_numbers((*_RESERVED, *_TOOK))}
    wanted = select(_unnested("wanted", {"quotas_of": Text(), **rest})).cte("wanted")
    # Never false: it has the counts locked first.
    has_locked = select(func.count(_locked().c.id)).scalar_subquery()
    closed = (
        transition(
            event,
            indexed_runs.c.id == given.c.run_id,
            _is_among(indexed_runs.c.id, "run_id"),
            indexed_runs.c.attempt == given.c.fence,
            has_locked >= literal_column("0"),
            table=indexed_runs,
        )
        .values(
            {name: _stored(given, new, name) for new, name in names.items()}
            | {"search_words": func.words_to_index(given.c.words)}
        )
        .returning(indexed_runs.c.id)
        .cte("closed")
    )
    sums = _sums(wanted, closed, (*_RESERVED, *_TOOK))
    settled = (
        update(quotas)
        .where(quotas.c.id == sums.c.id, _is_among(quotas.c.id, "quota_ids"))
        .values(
            running=quotas.c.running - sums.c.number,
            tokens_reserved=quotas.c.tokens_reserved - sums.c.reserved_tokens,
            tokens_used=quotas.c.tokens_used + sums.c.took_tokens,
            cost_reserved=quotas.c.cost_reserved - sums.c.reserved_cost,
            cost_used=quotas.c.cost_used + sums.c.took_cost,
        )
    )
    return Together(_with(closed, settled=settled), columns, {"quotas_of": [*rest]})


def _with(changed: CTE, **others: Any) -> Select[Any]:
    """Return what a statement changed; other ones depend on it."""
    return select(changed.c.id).add_cte(
        *[other.cte(name) for name, other in others.items()]
    )


_ACCEPT = _accept()
_FINISH = {status: _finish(event) for event, status in ENDS.items()}
_UNITS = ("runs", "tokens", "dollars")


def accepting(
    operation: Operation[T],
    run: Run,
    values: Mapping[str, Any],
    limits: Sequence[Quota],
) -> Operation[T | Run]:
    """Return an operation that stores a new run, with others' if that is possible."""
    is_counted = any(limit.unit == "prompts" for limit in limits)
    if run.images or run.notifications or is_counted:
        return operation
    reservation = run.reservation or _NOTHING
    values = {
        **values,
        **_amounts(reservation),
        **_limits(reservation, limits),
        "quotas": len(reservation.quotas),
        "tags": sorted(tags_of(run.metadata)),
    }
    return Change(operation, _ACCEPT, values, run)


def finishing(
    operation: Operation[bool], run: Run, values: Mapping[str, Any]
) -> Operation[bool]:
    """Return an operation that ends a run, with others."""
    reservation = run.reservation or _NOTHING
    amounts = dict(_amounts(reservation))
    amounts |= {name: [0] * len(reservation.quotas) for name in _TOOK}
    if run.reservation is not None:
        used = took(run)
        for at, id_ in enumerate(reservation.quotas):
            if is_counted(id_, used["its_upstream"]):
                for name in _TOOK:
                    amounts[name][at] = _whole(used[name])
    return Change(operation, _FINISH[run.status], {**values, **amounts}, True)


def _limits(
    reservation: Reservation, limits: Sequence[Quota]
) -> Mapping[str, Sequence[int]]:
    """Return the most of each unit that may be taken of each count."""
    most = {id_: [_UNLIMITED] * len(_UNITS) for id_ in reservation.quotas}
    for each in limits:
        at = _UNITS.index(each.unit)
        limit = each.limit if each.unit != "dollars" else Decimal(each.limit).scaleb(9)
        most[each.id][at] = min(int(limit), most[each.id][at])
    columns = zip(*most.values(), strict=True) if most else ((), (), ())
    return dict(zip(_MOST, columns, strict=True))


def _amounts(reservation: Reservation) -> Mapping[str, list[Any]]:
    """Return the ids of a run's counts, and with each what is reserved of it."""
    values = set_aside(reservation)
    ids = list(values["ids"])
    return {"quota_ids": ids} | {
        name: [_whole(values[name])] * len(ids) for name in _RESERVED
    }


def _whole(amount: int | Decimal) -> int:
    """Return tokens, or dollars in billionths."""
    if isinstance(amount, Decimal):
        return int(amount.scaleb(9).to_integral_value())
    return amount
