"""
Permanent deletion of runs.

Reader threads find the runs, which may take long; the writer deletes few at a time.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, func, select

from llamakeep.domain import User
from llamakeep.errors import RunNotFound
from llamakeep.storage.database.conditions import IS_FINISHED, IS_UNFINISHED
from llamakeep.storage.database.tables import runs
from llamakeep.storage.deletion.traces import (
    OVERWRITING_WORDS,
    DeletionPace,
    keeping_words,
    look_at_words,
)
from llamakeep.storage.history.conversations import forget_titles
from llamakeep.storage.history.filters import EVERYTHING, RunFilter
from llamakeep.storage.history.search import SearchStorage

_DELETE = (
    "DELETE FROM runs WHERE id IN (SELECT value FROM json_each(?)) AND user_id = ? "  # noqa: S608 - only constants
    f"AND {IS_FINISHED} RETURNING conversation_id"
)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The progress of a deletion."""

    tried: int
    """How many of the runs were tried; the rest is left to the next call."""
    deleted: int
    """How many of those were deleted."""


class RunDeletionStorage(SearchStorage):
    """Deletes runs."""

    async def delete_run(self, user: User, run_id: str) -> None:
        """
        Delete a run.

        Raises:
            RunNotFound: `user` has no such run.
        """
        query = select(runs.c.id).where(runs.c.id == run_id, runs.c.user_id == user.id)

        def operation(connection: Connection) -> None:
            conversations = _delete(connection, query)
            if not conversations:
                raise RunNotFound(f"There is no run {run_id!r} in your history.")
            forget_titles(connection, conversations)

        await look_at_words(self._database, user, run_id)
        # A long write-ahead log would be checkpointed by the deletion's commit.
        await self._database.checkpoint()
        await self._database.write(operation)
        self._database.erase_traces_soon()

    async def find_unfinished(
        self, user: User, matching: RunFilter, *, before: str
    ) -> Sequence[str]:
        """Return the ids of matching unfinished runs below `before`."""

        def operation(connection: Connection) -> Sequence[str]:
            query = select(runs.c.id).where(
                *matching.conditions(user, connection.dialect.name),
                runs.c.id < before,
                IS_UNFINISHED,
            )
            return connection.scalars(query).all()

        return await self._database.read(operation)

    async def count_runs(self, user: User, matching: RunFilter, *, before: str) -> int:
        """Return the number of matching runs below `before`."""

        def operation(connection: Connection) -> int:
            query = (
                select(func.count())
                .select_from(runs)
                .where(
                    *matching.conditions(user, connection.dialect.name),
                    runs.c.id < before,
                )
            )
            return connection.scalar(query) or 0

        if matching.search is not None:
            await self._index_all()
        return await self._database.read(operation)

    async def find_finished(
        self,
        user: User,
        matching: RunFilter = EVERYTHING,
        *,
        after: str = "",
        before: str,
        limit: int,
    ) -> Sequence[str]:
        """Return the ids of matching finished runs between two ids, oldest first."""

        def operation(connection: Connection) -> Sequence[str]:
            query = (
                select(runs.c.id)
                .where(
                    *matching.conditions(user, connection.dialect.name),
                    runs.c.id > after,
                    runs.c.id < before,
                    # A run accepted meanwhile is unfinished, and has a reservation to
                    # settle.
                    IS_FINISHED,
                )
                .order_by(runs.c.id)
                .limit(limit)
            )
            return connection.scalars(query).all()

        if matching.search is not None:
            await self._index_all()
        return await self._database.read(operation)

    async def forget(
        self,
        user: User,
        run_ids: Sequence[str],
        pace: DeletionPace,
        *,
        shared: bool = False,
    ) -> Forgotten:
        """
        Delete some of the given finished runs.

        At least one statement's worth, more while there is time. Those that another
        process is deleting are left out if `shared`.
        """

        def operation(connection: Connection) -> Forgotten:
            end = time.monotonic() + pace.seconds
            tried, conversations = 0, list[str]()
            with keeping_words(connection, keep=pace.keeps_words):
                while tried < len(run_ids) and (not tried or time.monotonic() < end):
                    some = run_ids[tried : tried + pace.at_once]
                    tried += len(some)
                    conversations += _delete_finished(
                        connection, user, some, shared=shared
                    )
            if conversations:
                forget_titles(connection, set(conversations))
            return Forgotten(tried, len(conversations))

        if pace == OVERWRITING_WORDS and run_ids:
            await look_at_words(self._database, user, run_ids[0])
        self._database.erase_traces_soon()
        return await self._database.write(operation)


def _delete(connection: Connection, chosen: Select[str]) -> Sequence[str]:
    query = delete(runs).where(runs.c.id.in_(chosen)).returning(runs.c.conversation_id)
    return connection.scalars(query).all()


def _delete_finished(
    connection: Connection, user: User, run_ids: Sequence[str], *, shared: bool
) -> Sequence[str]:
    if connection.dialect.name == "sqlite":
        # The writer thread is blocked meanwhile: to build this statement with
        # SQLAlchemy takes as long as to run it.
        values = json.dumps(list(run_ids)), user.id
        return connection.exec_driver_sql(_DELETE, values).scalars().all()
    query = (
        select(runs.c.id)
        .where(runs.c.id.in_(run_ids), runs.c.user_id == user.id, IS_FINISHED)
        # All processes lock rows in the same order.
        .order_by(runs.c.id)
        .with_for_update(skip_locked=shared)
    )
    return _delete(connection, query)
