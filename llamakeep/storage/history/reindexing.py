"""
Bringing PostgreSQL's index up to date with runs that an earlier version indexed.

What is indexed of a run stands in its row, so that a migration which did this would
write the whole table anew, while others wait. Servers do it in portions instead.
"""

from sqlalchemy import Connection, text

from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import IS_FINISHED
from llamakeep.storage.history.words import SEARCHED

AT_ONCE, MUCH = 500, 1_000_000
"""
Runs, or as many as have so many characters to index, in one transaction.

That takes at most some tenths of a second.
"""

_PLACE = text("SELECT done, until FROM search_reindexing FOR UPDATE SKIP LOCKED")
_IS_LEFT = text("SELECT EXISTS (SELECT 1 FROM search_reindexing)")
_ADVANCE = text("UPDATE search_reindexing SET done = :last")
_END = text("DELETE FROM search_reindexing")
_NEXT = text(
    f"""
    SELECT id, length(left(prompt, {SEARCHED})) + length(left(response, {SEARCHED}))
    AS size FROM runs WHERE id > :done AND id <= :until ORDER BY id LIMIT :limit
    """  # noqa: S608 - only a number of ours
)
# The trigger that indexes runs fires where a status is set. What is normalised already
# was indexed with the same words.
_INDEX = text(
    f"""
    UPDATE runs SET status = status WHERE id IN (
        SELECT id FROM runs WHERE id > :done AND id <= :last AND {IS_FINISHED}
        AND (left(prompt, {SEARCHED}) || ' ' || left(response, {SEARCHED}))
        IS NOT NFKC NORMALIZED
        ORDER BY id FOR NO KEY UPDATE
    )
    """  # noqa: S608 - only a number and names of ours
)


class ReindexStorage:
    """Indexes older runs anew; on SQLite, `SearchStorage` does so by itself."""

    _database: Database

    async def reindex_some(self) -> bool:
        """
        Index some more of the runs that an earlier version indexed.

        Where another process is at it, this leaves it the work.

        Returns:
            Whether there are more.
        """
        if self._database.is_sole_owner:
            return False
        # Nothing is written for the answer that there is nothing to do.
        if not await self._database.read(_is_left):
            return False
        return await self._database.write(_reindex)


def _is_left(connection: Connection) -> bool:
    return bool(connection.scalar(_IS_LEFT))


def _reindex(connection: Connection) -> bool:
    place = connection.execute(_PLACE).one_or_none()
    if place is None:
        return _is_left(connection)
    span = {"done": place.done, "until": place.until}
    size, last = 0, None
    for row in connection.execute(_NEXT, span | {"limit": AT_ONCE}).all():
        size += row.size
        if last is None or size <= MUCH:
            last = row.id
    if last is None:
        connection.execute(_END)
        return False
    connection.execute(_INDEX, {"done": place.done, "last": last})
    connection.execute(_ADVANCE, {"last": last})
    return True
