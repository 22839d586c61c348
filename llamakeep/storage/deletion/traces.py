"""
Taking the words of very many deleted runs out of SQLite's index, all together.

By itself, a run takes milliseconds: each of its words is looked up and cut out. Where
many are deleted, they are only marked, which takes a tenth of that; the words go when
the whole index is merged, in small steps. Until then the database remembers that there
is something to do.

What is marked makes the index longer. By itself it would be merged while somebody
waits, for tens of milliseconds now and then; that is left to small steps as well.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from llamakeep.domain import User
from llamakeep.storage.database.port import Database

WORTH_MERGING = 500
"""Cutting out one run of so many takes as long as merging them all."""
PAGES = 16
"""Of 4 kB, merged at a time; it takes two milliseconds."""
LEAST_CHANGES = 2
"""Fewer mean that there was nothing to merge: https://sqlite.org/fts5.html."""

_NUMBERS = text("SELECT max(number) FROM search_runs")
_SET = text("INSERT INTO search_words (search_words, rank) VALUES (:command, :value)")
_MARK = (
    "INSERT INTO search_words (search_words, rank) "
    "VALUES ('secure-delete', 0), ('automerge', 0), ('crisismerge', 1000)"
)
_CUT = (
    "INSERT INTO search_words (search_words, rank) "
    "VALUES ('secure-delete', 1), ('automerge', 4), ('crisismerge', 16)"
)
_FLUSH = "INSERT INTO search_words (search_words) VALUES ('flush')"
_CHANGES = text("SELECT total_changes()")
_LEAVE = "INSERT INTO search_traces DEFAULT VALUES"
_NEWEST = text("SELECT max(number) FROM search_traces")
_FORGET = text("DELETE FROM search_traces WHERE number <= :newest")


@dataclass(frozen=True, slots=True)
class DeletionPace:
    """How many runs are deleted in a transaction, which others may have to wait for."""

    at_once: int
    """So many in one statement."""
    seconds: float
    """Another statement begins if these have not passed yet."""
    keeps_words: bool
    """Whether their words stay in the files until `erase_words`."""
    rest: float
    """For how many times as long as it takes others have the database alone then."""


OVERWRITING_WORDS = DeletionPace(1, 0, keeps_words=False, rest=1)
MARKING_WORDS = DeletionPace(3, 0.001, keeps_words=True, rest=3)
SHARED = DeletionPace(50, 0, keeps_words=False, rest=1)
"""On PostgreSQL nobody waits for it, and words are left to its vacuum anyway."""


_SAID = text(
    """
    SELECT number, own_words(user_id, prompt) || ' ' || own_words(user_id, response)
    FROM search_runs JOIN runs ON id = run_id WHERE id = :run_id AND user_id = :user_id
    """
)
_LOOK = text(
    "SELECT 1 FROM search_words WHERE search_words MATCH :terms AND rowid = :number"
)
_LOOKED_AT_ONCE = 100


async def look_at_words(database: Database, user: User, run_id: str) -> None:
    """
    Have the pages read from which the words of a run are about to be cut out.

    There are a hundred, all over the index: from a disk that takes 30 ms, in which
    nobody else can write if it is left to the writer. It has them changed in 5 ms.
    """

    def operation(connection: Connection) -> None:
        if connection.dialect.name != "sqlite":
            return
        values = {"run_id": run_id, "user_id": user.id}
        for number, said in connection.execute(_SAID, values).all():
            words = sorted(set(said.split()))
            for begin in range(0, len(words), _LOOKED_AT_ONCE):
                some = words[begin : begin + _LOOKED_AT_ONCE]
                terms = " OR ".join(f'"{word}"' for word in some)
                connection.execute(_LOOK, {"terms": terms, "number": number}).all()

    await database.read(operation)


class TraceStorage:
    """One step is one transaction."""

    _database: Database

    async def pace(self, count: int) -> DeletionPace:
        """Return how to delete so many runs."""

        def operation(connection: Connection) -> DeletionPace:
            if connection.dialect.name != "sqlite":
                return SHARED
            indexed = connection.scalar(_NUMBERS) or 0
            return (
                MARKING_WORDS if count * WORTH_MERGING > indexed else OVERWRITING_WORDS
            )

        return await self._database.read(operation)

    async def merge_words(self) -> None:
        """Merge what has gathered in the index, so that searches stay quick."""
        while await self._merge(PAGES):
            pass

    async def erase_words(self) -> None:
        """Take the words out of the index that deletions have left there."""
        newest = await self._database.read(_newest)
        if newest is None:
            return
        pages = -PAGES  # as far as the beginning of a merge of all there is
        while await self._merge(pages):
            pages = PAGES
        await self._database.write(
            lambda connection: connection.execute(_FORGET, {"newest": newest}).close()
        )

    async def _merge(self, pages: int) -> bool:
        """Merge some, and give others time; return whether there is more."""

        def operation(connection: Connection) -> bool:
            before = connection.scalar(_CHANGES) or 0
            connection.execute(_SET, {"command": "merge", "value": pages})
            after = connection.scalar(_CHANGES) or 0
            return pages < 0 or after - before >= LEAST_CHANGES

        began = time.monotonic()
        has_more = await self._database.write(operation)
        await asyncio.sleep(MARKING_WORDS.rest * (time.monotonic() - began))
        return has_more


@contextmanager
def keeping_words(connection: Connection, *, leave: bool) -> Iterator[None]:
    """
    Delete runs, in the transaction that is open, without cutting out their words.

    Args:
        connection: The transaction's, on SQLite.
        leave: Whether to; otherwise they are cut out.
    """
    if not leave:
        yield
        return
    connection.exec_driver_sql(_LEAVE)
    connection.exec_driver_sql(_MARK)
    yield
    # What is still in memory would be cut out after all.
    connection.exec_driver_sql(_FLUSH)
    connection.exec_driver_sql(_CUT)


def _newest(connection: Connection) -> int | None:
    if connection.dialect.name != "sqlite":
        return None
    newest: int | None = connection.scalar(_NEWEST)
    return newest
