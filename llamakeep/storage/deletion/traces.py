"""
Removal of deleted runs' words from SQLite's full-text index, in bulk.

To delete one run from the index takes milliseconds: each of its words is looked up and
cut out. Of many runs, the words are only marked as deleted, which takes a tenth of
that; they disappear when the whole index is merged, in small steps. Until then, a row
in `search_traces` says that this is to be done.

Marks make the index longer. SQLite would merge it in some insert, which then takes tens
of milliseconds; that is left to the small steps as well.
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
"""To cut out one run of so many takes as long as to merge the whole index."""
PAGES = 16
"""Pages of 4 kB merged in a step, which takes two milliseconds."""
LEAST_CHANGES = 2
"""Fewer changes mean that nothing was left to merge: https://sqlite.org/fts5.html."""

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
    """How many runs are deleted in one transaction, for which other writes wait."""

    at_once: int
    """Runs deleted in one statement."""
    seconds: float
    """Seconds after which no other statement begins."""
    keeps_words: bool
    """Whether the runs' words stay in the files until `erase_words`."""
    rest: float
    """The pause after the transaction, in multiples of its duration."""


OVERWRITING_WORDS = DeletionPace(1, 0, keeps_words=False, rest=1)
MARKING_WORDS = DeletionPace(3, 0.001, keeps_words=True, rest=3)
SHARED = DeletionPace(50, 0, keeps_words=False, rest=1)
"""On PostgreSQL, no write waits for it, and its vacuum removes the words."""


_SAID = text(
    """
    SELECT number, own_words(user_id, prompt) || ' '
    || own_words(user_id, response, output)
    FROM search_runs JOIN runs ON id = run_id WHERE id = :run_id AND user_id = :user_id
    """
)
_LOOK = text(
    "SELECT 1 FROM search_words WHERE search_words MATCH :terms AND rowid = :number"
)
_LOOKED_AT_ONCE = 100


async def look_at_words(database: Database, user: User, run_id: str) -> None:
    """
    Read the index pages from which a run's words will be deleted.

    There are a hundred, all over the index. To read them from a disk takes 30 ms, in
    which the writer could write nothing else; to change them when they are in memory, 5
    ms.
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
    """Removes words of deleted runs; each step is one transaction."""

    _database: Database

    async def pace(self, count: int) -> DeletionPace:
        """Return the pace at which to delete so many runs."""

        def operation(connection: Connection) -> DeletionPace:
            if connection.dialect.name != "sqlite":
                return SHARED
            indexed = connection.scalar(_NUMBERS) or 0
            return (
                MARKING_WORDS if count * WORTH_MERGING > indexed else OVERWRITING_WORDS
            )

        return await self._database.read(operation)

    async def merge_words(self) -> None:
        """Merge the segments of the index, so that searches stay fast."""
        while await self._merge(PAGES):
            pass

    async def erase_words(self) -> None:
        """Remove the words that deletions have marked."""
        newest = await self._database.read(_newest)
        if newest is None:
            return
        pages = -PAGES  # a negative number starts a merge of the whole index
        while await self._merge(pages):
            pages = PAGES
        await self._database.write(
            lambda connection: connection.execute(_FORGET, {"newest": newest}).close()
        )

    async def _merge(self, pages: int) -> bool:
        """Merge some pages, pause for other writes; return whether more are left."""

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
def keeping_words(connection: Connection, *, keep: bool) -> Iterator[None]:
    """If `keep`, mark the words that this block deletes instead of cutting them out."""
    if not keep:
        yield
        return
    connection.exec_driver_sql(_LEAVE)
    connection.exec_driver_sql(_MARK)
    yield
    # The index entries still in memory would be cut out after all.
    connection.exec_driver_sql(_FLUSH)
    connection.exec_driver_sql(_CUT)


def _newest(connection: Connection) -> int | None:
    if connection.dialect.name != "sqlite":
        return None
    newest: int | None = connection.scalar(_NEWEST)
    return newest
