"""
Conversations, found by walking a user's runs; they have no rows of their own.

A run is its conversation's newest if no later one has the same conversation, so the
list of conversations is a walk over a user's runs. Only chosen titles are stored.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    bindparam,
    delete,
    exists,
    func,
    select,
)

from llamakeep.domain import Run, User
from llamakeep.domain.embeddings import ALONE
from llamakeep.errors import ConversationNotFound
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database, T
from llamakeep.storage.database.tables import conversation_titles, runs
from llamakeep.storage.history.filters import is_in

LONGEST_WALK = 2000
"""The number of runs read for one page, however few conversations they belong to."""

OPENING = 2000
"""Characters of the first prompt, which the title is made of."""

LOWEST, HIGHEST = "run_", "run_~"
"""Bounds of run ids."""

# Both columns are in an index, so that no rows are read.
_WALK = (
    select(runs.c.id, runs.c.conversation_id)
    .where(
        runs.c.user_id == bindparam("user_id"),
        runs.c.id > bindparam("low"),
        runs.c.id < bindparam("high"),
    )
    .limit(bindparam("step"))
)
_WALK_DOWN = _WALK.order_by(runs.c.id.desc())
_WALK_UP = _WALK.order_by(runs.c.id)
# A conversation belongs to one user, so their id need not be named.
_HAVE_LATER = (
    select(runs.c.conversation_id)
    .distinct()
    .where(
        runs.c.conversation_id.in_(bindparam("conversation_ids", expanding=True)),
        runs.c.id > bindparam("than"),
    )
)

_other = runs.alias("other")


def _at_first(column: ColumnElement[T], *which: ColumnElement[bool]) -> ScalarSelect[T]:
    return (
        select(column)
        .where(_other.c.conversation_id == runs.c.conversation_id, *which)
        .order_by(_other.c.id)
        .limit(1)
        .scalar_subquery()
    )


_SHOWN = (
    select(
        runs.c.conversation_id,
        conversation_titles.c.title,
        # There is none if a client began it, and has added nothing yet.
        func.coalesce(
            _at_first(func.substr(_other.c.prompt, 1, OPENING), _other.c.prompt != ""),
            "",
        ),
        _at_first(_other.c.created_at),
        runs.c.created_at,
        runs.c.id,
    )
    .outerjoin(
        conversation_titles,
        conversation_titles.c.conversation_id == runs.c.conversation_id,
    )
    .where(runs.c.id.in_(bindparam("newest", expanding=True)))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation, as its runs describe it."""

    id: str
    chosen_title: str | None
    opening: str
    """The beginning of its first prompt."""
    created_at: datetime
    updated_at: datetime
    """When its last prompt was accepted."""
    newest_run_id: str
    """Its position in the list."""


@dataclass(frozen=True, slots=True)
class Walked:
    """A page of conversations, in the order of the walk."""

    conversations: Sequence[Conversation]
    stopped_at: str | None
    """The run where the walk was cut short; `None` if it reached its end."""


class ConversationStorage:
    """Reads conversations, and stores their titles."""

    _database: Database

    async def conversations(
        self,
        user: User,
        *,
        before: str | None = None,
        after: str | None = None,
        oldest_first: bool = False,
        limit: int = 50,
    ) -> Walked:
        """Return a page of conversations, the most recently active first."""
        query = _WALK_UP if oldest_first else _WALK_DOWN

        def operation(connection: Connection) -> Walked:
            place = {"low": after or LOWEST, "high": before or HIGHEST}
            passed: set[str] = set()
            newest: list[str] = []
            top = LOWEST
            walked, step = 0, min(4 * limit, LONGEST_WALK)
            while True:
                values = place | {"user_id": user.id, "step": step}
                rows = connection.execute(query, values).all()
                up = rows if oldest_first else rows[::-1]
                last = {
                    row.conversation_id: row.id
                    for row in up
                    if not row.conversation_id.startswith(ALONE)
                }
                if not oldest_first:
                    # The first run seen of a conversation is its newest.
                    last = {key: last[key] for key in last.keys() - passed}
                    passed |= last.keys()
                if oldest_first or before is not None:
                    # Some may have later runs above the walked range.
                    top = max([top, *last.values()])
                    for key in _going_on(connection, last, top):
                        del last[key]
                newest += sorted(last.values(), reverse=not oldest_first)
                walked += len(rows)
                is_done = len(newest) >= limit or len(rows) < step
                if is_done or walked >= LONGEST_WALK:
                    chosen = newest[:limit]
                    found = conversations_at(connection, chosen)
                    if is_done and len(found) == len(chosen):
                        return Walked(found, None)
                    return Walked(found, chosen[-1] if is_done else rows[-1].id)
                place["low" if oldest_first else "high"] = rows[-1].id
                step = min(2 * step, LONGEST_WALK - walked)

        return await self._database.read(operation)

    async def conversations_of(
        self, found: Iterable[Run]
    ) -> Mapping[str, Conversation]:
        """
        Return the conversations that runs belong to, by id.

        Their position is that of one of these runs.
        """
        places = {
            run.conversation_id: run.id
            for run in found
            if run.conversation_id and not run.conversation_id.startswith(ALONE)
        }
        if not places:
            return {}
        known = await self._database.read(
            lambda connection: conversations_at(connection, [*places.values()])
        )
        return {each.id: each for each in known}

    async def get_conversation(
        self, user: User, conversation_id: str
    ) -> tuple[Conversation, int]:
        """
        Return a conversation, and the number of its runs.

        Raises:
            ConversationNotFound: `user` has no such conversation.
        """
        # By the conversation alone: the index answers that.
        count = select(func.count()).where(runs.c.conversation_id == conversation_id)

        def operation(connection: Connection) -> tuple[Conversation, int]:
            found = _get(connection, user, conversation_id)
            return found, connection.scalar(count) or 0

        return await self._database.read(operation)

    async def set_title(
        self, user: User, conversation_id: str, title: str | None
    ) -> None:
        """
        Set a conversation's title; `None` restores that of its first prompt.

        Raises:
            ConversationNotFound: `user` has no such conversation.
        """
        # A transaction that deletes its last run waits for this, and then sees the
        # title.
        locked = (
            select(runs.c.id)
            .where(*is_in(user.id, conversation_id))
            .limit(1)
            .with_for_update(read=True, key_share=True)
        )

        def operation(connection: Connection) -> None:
            if connection.scalar(locked) is None:
                raise _not_found(conversation_id)
            if title is None:
                is_its = conversation_titles.c.conversation_id == conversation_id
                connection.execute(delete(conversation_titles).where(is_its))
                return
            values = {
                "conversation_id": conversation_id,
                "user_id": user.id,
                "title": title,
            }
            connection.execute(
                colliding_insert(connection, conversation_titles)
                .values(values)
                .on_conflict_do_update(
                    index_elements=["conversation_id"], set_={"title": title}
                )
            )

        await self._database.write(operation)


def forget_titles(connection: Connection, conversation_ids: Collection[str]) -> None:
    """Delete the titles of those conversations that have no run left."""
    titles = conversation_titles.c
    is_left = exists().where(runs.c.conversation_id == titles.conversation_id)
    is_one = titles.conversation_id.in_(conversation_ids)
    connection.execute(delete(conversation_titles).where(is_one, ~is_left))


def _going_on(
    connection: Connection, conversation_ids: Collection[str], top: str
) -> Sequence[str]:
    """Return those conversations that have a run above an id."""
    values = {"conversation_ids": list(conversation_ids), "than": top}
    return connection.scalars(_HAVE_LATER, values).all()


def conversations_at(
    connection: Connection, newest: Sequence[str]
) -> Sequence[Conversation]:
    """Return the conversations that have these runs as their newest, in that order."""
    rows = connection.execute(_SHOWN, {"newest": newest})
    found = {row[-1]: _to_conversation(row) for row in rows}
    # On PostgreSQL, a run may have been deleted since its id was read.
    return [found[run_id] for run_id in newest if run_id in found]


def _to_conversation(
    row: Row[str, str | None, str, datetime, datetime, str],
) -> Conversation:
    return Conversation(
        id=row[0],
        chosen_title=row[1],
        opening=row[2],
        created_at=row[3],
        updated_at=row[4],
        newest_run_id=row[5],
    )


def _get(connection: Connection, user: User, conversation_id: str) -> Conversation:
    newest = (
        select(runs.c.id)
        .where(*is_in(user.id, conversation_id))
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    shown = conversations_at(connection, connection.scalars(newest).all())
    if not shown or conversation_id.startswith(ALONE):
        raise _not_found(conversation_id)
    return shown[0]


def _not_found(conversation_id: str) -> ConversationNotFound:
    return ConversationNotFound(
        f"There is no conversation {conversation_id!r} in your history."
    )
