"""Runs that changed, as lists show them."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from llamakeep.domain.embeddings import ALONE
from llamakeep.domain.runs import without_texts
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import conversation_titles, runs
from llamakeep.storage.history.beginnings import (
    COLUMNS,
    Beginning,
    beginning_of,
    shortened,
    to_beginning,
)

LENGTH = 240
"""Characters of each text."""

OPENING = 2000
"""Characters of a conversation's first prompt, which its title is made of."""

_first = runs.alias("first")
_OPENING = (
    select(func.substr(_first.c.prompt, 1, OPENING))
    .where(
        _first.c.conversation_id == runs.c.conversation_id,
        _first.c.prompt != "",
        _first.c.store.is_not(False),
    )
    .order_by(_first.c.id)
    .limit(1)
    .scalar_subquery()
)
_CHANGED = (
    select(*COLUMNS, conversation_titles.c.title, _OPENING.label("opening"))
    .outerjoin(
        conversation_titles,
        conversation_titles.c.conversation_id == runs.c.conversation_id,
    )
    .where(
        runs.c.id.in_(bindparam("run_ids", expanding=True)),
        runs.c.user_id == bindparam("of_user"),
    )
)


class ChangedRun(NamedTuple):
    """A run without what is long, and without any text if none is to be kept."""

    beginning: Beginning
    chosen_title: str | None
    """Of its conversation, if the user gave it one."""
    opening: str | None
    """
    The beginning of the first prompt of its conversation whose text is kept; `None`
    without a conversation.
    """


class ChangedStorage:
    """Reads runs that changed."""

    _database: Database

    async def changed_runs(
        self, user_id: str, run_ids: Collection[str]
    ) -> Mapping[str, ChangedRun]:
        """Return those of the runs that are the user's."""
        values = {"of_user": user_id, "run_ids": [*run_ids], "length": LENGTH}

        def operation(connection: Connection) -> Mapping[str, ChangedRun]:
            found = connection.execute(_CHANGED, values)
            return {row.id: _changed(row) for row in found}

        return await self._database.read(operation)


def _changed(row: Any) -> ChangedRun:
    *columns, chosen_title, opening = row
    beginning = shortened(to_beginning(columns), LENGTH)
    run = beginning.run
    if not run.store:
        beginning = beginning_of(without_texts(run), LENGTH)
    assert run.conversation_id is not None
    if run.conversation_id.startswith(ALONE):
        return ChangedRun(beginning, None, None)
    return ChangedRun(beginning, chosen_title, opening or "")
