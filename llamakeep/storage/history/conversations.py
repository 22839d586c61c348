"""
Conversations: what runs of a user have in common, found without a row of their own.

A run is its conversation's newest if no later one has the same conversation, so the
list of conversations is a walk over a user's runs. Only chosen titles are kept.
"""

from collections.abc import Collection, Sequence
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

from llamakeep.domain import User
from llamakeep.errors import ConversationNotFound
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database, T
from llamakeep.storage.database.tables import conversation_titles, runs
from llamakeep.storage.history.filters import is_in

LONGEST_WALK = 2000
"""How many runs are looked at for one page, however few conversations they are of."""

OPENING = 2000
"""Characters of the first prompt; the title is made of them."""

LOWEST, HIGHEST = "run_", "run_~"
"""What no run's id is lower or higher than."""

# Both are in indexes, which are all that has to be read.
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
# A conversation is one user's.
_HAVE_LATER = (
    select(runs.c.conversation_id)
    .distinct()
    .where(
        runs.c.conversation_id.in_(bindparam("conversation_ids", expanding=True)),
        runs.c.id > bindparam("than"),
    )
)

_other = runs.alias("other")


def _at_first(column: ColumnElement[T]) -> ScalarSelect[T]:
    return (
        select(column)
        .where(_other.c.conversation_id == runs.c.conversation_id)
        .order_by(_other.c.id)
        .limit(1)
        .scalar_subquery()
    )


_SHOWN = (
    select(
        runs.c.conversation_id,
        conversation_titles.c.title,
        _at_first(func.substr(_other.c.prompt, 1, OPENING)),
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
    """What the runs of a conversation have in common."""

    id: str
    chosen_title: str | None
    opening: str
    """How its first prompt begins."""
    created_at: datetime
    updated_at: datetime
    """When its last prompt came."""
    newest_run_id: str
    """Its place in the list."""


@dataclass(frozen=True, slots=True)
class Walked:
    """Conversations that were found, in the order of the walk."""

    conversations: Sequence[Conversation]
    stopped_at: str | None
    """The run where the walk was given up; `None` if it came to its end."""


class ConversationStorage:
    """One method is one transaction."""

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
        """
        Return conversations of `user`, the one that was last active first.

        Args:
            user: Whose.
            before: Only those whose newest run is older than this id.
            after: Only those whose newest run is newer.
            oldest_first: Whether the limit keeps the ones that rested longest.
            limit: At most this many; `LONGEST_WALK` may make it fewer.
        """
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
                last = {row.conversation_id: row.id for row in up}
                if not oldest_first:
                    # Whatever was passed had its newest run there.
                    last = {key: last[key] for key in last.keys() - passed}
                    passed |= last.keys()
                if oldest_first or before is not None:
                    # Above what was walked by, some of them may go on.
                    top = max([top, *last.values()])
                    for key in _going_on(connection, last, top):
                        del last[key]
                newest += sorted(last.values(), reverse=not oldest_first)
                walked += len(rows)
                is_done = len(newest) >= limit or len(rows) < step
                if is_done or walked >= LONGEST_WALK:
                    chosen = newest[:limit]
                    found = _shown(connection, chosen)
                    if is_done and len(found) == len(chosen):
                        return Walked(found, None)
                    return Walked(found, chosen[-1] if is_done else rows[-1].id)
                place["low" if oldest_first else "high"] = rows[-1].id
                step = min(2 * step, LONGEST_WALK - walked)

        return await self._database.read(operation)

    async def get_conversation(
        self, user: User, conversation_id: str
    ) -> tuple[Conversation, int]:
        """
        Return a conversation, and how many runs it has.

        Raises:
            ConversationNotFound: `user` has no such conversation.
        """
        # It is one user's, so that the index is all that has to be read.
        count = select(func.count()).where(runs.c.conversation_id == conversation_id)

        def operation(connection: Connection) -> tuple[Conversation, int]:
            found = _get(connection, user, conversation_id)
            return found, connection.scalar(count) or 0

        return await self._database.read(operation)

    async def set_title(
        self, user: User, conversation_id: str, title: str | None
    ) -> None:
        """
        Call a conversation by a name; `None` gives it the one of its first prompt.

        Raises:
            ConversationNotFound: `user` has no such conversation.
        """
        # Whoever deletes its last run has to wait, and then sees the title.
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
    """Delete the titles of those conversations that have no run any more."""
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


def _shown(connection: Connection, newest: Sequence[str]) -> Sequence[Conversation]:
    """Return the conversations that have these runs as their newest, in that order."""
    rows = connection.execute(_SHOWN, {"newest": newest})
    found = {row[-1]: _to_conversation(row) for row in rows}
    # On PostgreSQL, one may have been deleted since it was seen.
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
    shown = _shown(connection, connection.scalars(newest).all())
    if not shown:
        raise _not_found(conversation_id)
    return shown[0]


def _not_found(conversation_id: str) -> ConversationNotFound:
    return ConversationNotFound(
        f"There is no conversation {conversation_id!r} in your history."
    )
