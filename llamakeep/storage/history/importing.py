"""Import of finished runs, from here or elsewhere."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Connection, bindparam, insert, select, text

from llamakeep.domain import Run, User
from llamakeep.domain.runs import FOLLOWS_NOTHING
from llamakeep.errors import ImageNotFound, Unauthenticated
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.indexing import INSERT_INDEXED
from llamakeep.storage.history.tags import add_tags
from llamakeep.storage.history.words import lexemes, said_by_model
from llamakeep.storage.runs.images import add_images, find_missing
from llamakeep.storage.runs.parts import stored
from llamakeep.storage.runs.rows import to_row

_OWNER = (
    select(runs.c.user_id)
    .where(runs.c.conversation_id == bindparam("conversation_id"))
    .limit(1)
)
# A concurrent deletion of the user waits, and then sees what was imported.
_WHOSE = (
    select(users.c.id)
    .where(users.c.id == bindparam("user_id"), users.c.deleted_at.is_(None))
    .with_for_update(read=True, key_share=True)
)


class ImportStorage:
    """Stores imported runs."""

    _database: Database

    async def import_runs(self, user: User, imported: Sequence[Run]) -> int:
        """
        Store finished runs of `user`, each once, however often they are imported.

        An id that another user's run has is replaced by one that depends on both, so
        that an import does not reveal which ids exist.

        Returns:
            The number of new runs; known ones stay as they are.

        Raises:
            ImageNotFound: A run shows an image that it does not bring, and that is not
                here; nothing was stored.
            Unauthenticated: The user was deleted meanwhile.
        """
        words: Mapping[tuple[str, str], str] = {}
        if not self._database.is_sole_owner:
            words = await asyncio.to_thread(_words, user, imported)

        def operation(connection: Connection) -> int | str | None:
            if connection.scalar(_WHOSE, {"user_id": user.id}) is None:
                # Not raised: that would roll back others in the writer's transaction.
                return None
            if connection.dialect.name == "postgresql":
                # Two concurrent imports would not see each other's ids.
                connection.execute(text("SELECT pg_advisory_xact_lock(1819041136)"))
            new = _new_runs(connection, user, imported)
            if (lacking := find_missing(connection, new)) is not None:
                return (
                    f"The run {lacking.id} shows an image that is not in its line, and "
                    "not in your history either. Import the lines before it first."
                )
            if new:
                if connection.dialect.name == "postgresql":
                    rows = [to_row(run) | {"words": words[_texts(run)]} for run in new]
                    connection.execute(INSERT_INDEXED, rows)
                else:
                    connection.execute(insert(runs), [to_row(run) for run in new])
                add_tags(connection, new)
                add_images(connection, new)
            return len(new)

        count = await self._database.write(operation)
        if count is None:
            raise Unauthenticated("This account was deleted.")
        if isinstance(count, str):
            raise ImageNotFound(count)
        return count


def _texts(run: Run) -> tuple[str, str]:
    return run.prompt, said_by_model(run.response, stored(run.output))


def _words(user: User, imported: Sequence[Run]) -> dict[tuple[str, str], str]:
    """Return what PostgreSQL indexes of runs with these texts."""
    return {_texts(run): lexemes(user.id, *_texts(run)) for run in imported}


def _new_runs(connection: Connection, user: User, imported: Iterable[Run]) -> list[Run]:
    """Return the runs that are not stored yet, with their ids here."""
    ids = {run.id for run in imported}
    ids |= {previous for run in imported if (previous := _followed(run)) is not None}
    owners = _owners(connection, ids | {_elsewhere(user, each) for each in ids})
    conversations: dict[str, str | None] = {}
    new: dict[str, Run] = {}
    for run in imported:
        run_id = _place(user, run.id, owners)
        if run_id in new or owners.get(run_id) == user.id:
            continue
        assert run.conversation_id is not None
        for each in (run.conversation_id, _elsewhere(user, run.conversation_id)):
            if each not in conversations:
                conversations[each] = _owner_of_conversation(connection, each)
        new[run_id] = replace(
            run,
            id=run_id,
            user_id=user.id,
            conversation_id=_place(user, run.conversation_id, conversations),
            previous_run_id=run.previous_run_id
            if (previous := _followed(run)) is None
            else _place(user, previous, owners),
        )
    return list(new.values())


def _followed(run: Run) -> str | None:
    return None if run.previous_run_id == FOLLOWS_NOTHING else run.previous_run_id


def _owners(connection: Connection, ids: Iterable[str]) -> dict[str, str | None]:
    query = select(runs.c.id, runs.c.user_id).where(runs.c.id.in_(ids))
    return {row.id: row.user_id for row in connection.execute(query)}


def _owner_of_conversation(connection: Connection, conversation_id: str) -> str | None:
    return connection.scalar(_OWNER, {"conversation_id": conversation_id})


def _place(user: User, its_id: str, owners: dict[str, str | None]) -> str:
    """Return the id that a user's imported run or conversation has here."""
    other = _elsewhere(user, its_id)
    is_moved = owners.get(other) == user.id
    is_free = owners.get(its_id) in {None, user.id}
    return its_id if is_free and not is_moved else other


def _elsewhere(user: User, its_id: str) -> str:
    """Return the replacement of an id, of the same time, which depends on the user."""
    chance = sha256(f"{user.id} {its_id}".encode()).hexdigest()
    return its_id[:-16] + chance[:16]
