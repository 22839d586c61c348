"""UPDATE statements that take runs through their life, made of its table."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    TextClause,
    Update,
    bindparam,
    case,
    literal_column,
    null,
    text,
    true,
    update,
)

from llamakeep.domain import Effect, RunEvent, RunStatus
from llamakeep.domain.states import transitions_of
from llamakeep.storage.database.conditions import is_one_of
from llamakeep.storage.database.tables import runs

_VALUES: Mapping[Effect, Mapping[str, Any]] = {
    Effect.NEXT_ATTEMPT: {"attempt": runs.c.attempt + literal_column("1")},
    Effect.START_CLOCK: {"started_at": bindparam("now")},
    Effect.STOP_CLOCK: {"started_at": null()},
    Effect.DISOWN: {"owner": null()},
    Effect.ASK_TO_STOP: {"cancel_requested": true()},
}
"""What effects do to a row; the others are about processes."""

MINE = (text("runs.id = :run_id"), text("runs.attempt = :fence"))
"""Which run, as long as it is in the attempt that writes to it."""


_STATUS_OF_FOUND = "(runs.status || '')"
"""
Keeps PostgreSQL from the index of unfinished runs, which it believes to be empty.

It would rather read all of that than look one run up by its id.
"""


def transition(
    event: RunEvent,
    *which: ColumnElement[bool] | TextClause,
    table: Table = runs,
    of_many: bool = False,
) -> Update:
    """
    Return the UPDATE that `event` is, of those runs to which it can happen.

    They are found by their ids; the index of unfinished runs finds them if they are
    `of_many`, such as all of an owner's.
    """
    found = transitions_of(event)
    status = "status" if of_many else _STATUS_OF_FOUND
    query = update(table).where(*which, text(is_one_of(found.keys(), status)))
    moved = {old: each.status for old, each in found.items() if each.status is not old}
    [common, *rest] = [each.effects for each in found.values()]
    for effect in common.intersection(*rest) & _VALUES.keys():
        query = query.values(_VALUES[effect])
    targets = {each.status for each in found.values()}
    if moved and len(targets) == 1:
        return query.values(status=_spelled(targets.pop()))
    if moved:
        changes = [(runs.c.status == old, _spelled(new)) for old, new in moved.items()]
        return query.values(status=case(*changes, else_=runs.c.status))
    return query


def _spelled(status: RunStatus) -> ColumnElement[str]:
    """Return a status as it stands in a statement: `Prepared` takes no values."""
    return literal_column(f"'{status}'", runs.c.status.type)


def has_effect(event: RunEvent, effect: Effect) -> ColumnElement[bool]:
    """Return the condition that `event` has an effect on a run."""
    statuses = [
        s for s, each in transitions_of(event).items() if effect in each.effects
    ]
    return runs.c.status.in_(statuses)
