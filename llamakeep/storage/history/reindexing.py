"""
Reindexing of runs on PostgreSQL that an earlier version indexed.

Their words stand in their rows: a migration would write the whole table anew while
others wait. Servers do it in portions instead.

A row of `search_renewal` is a range of ids, after `done` up to `until`: the runs that
were there at the migration. Where both are the same it is that run, which a server of
an earlier version has finished since.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ARRAY, Connection, Row, Text, bindparam, text

from llamakeep.storage.database.conditions import IS_FINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.history.words import SEARCHED, lexemes

AT_ONCE, MUCH = 500, 250_000
"""
Runs, or as many as have so many characters to index, at a time.

To make their words takes a tenth of a second, in a thread of its own.
"""

_RANGE = text("SELECT done, until FROM search_renewal WHERE done < until")
_LOCKED_RANGE = text(
    "SELECT done FROM search_renewal WHERE done < until AND done = :done "
    "FOR UPDATE SKIP LOCKED"
)
_ADVANCE = text("UPDATE search_renewal SET done = :last WHERE done < until")
_END = text("DELETE FROM search_renewal WHERE done < until")
_DONE = text(
    "DELETE FROM search_renewal WHERE done = until AND until = ANY(:ids)"
).bindparams(bindparam("ids", type_=ARRAY(Text())))

_SIZE = (
    f"length(left(prompt, {SEARCHED})) + length(left(response, {SEARCHED})) "
    "+ coalesce(length(CAST(output AS text)), 0)"
)
_IN_RANGE = text(
    f"""
    SELECT id, {_SIZE} AS size FROM runs
    WHERE id > :done AND id <= :until ORDER BY id LIMIT :limit
    """  # noqa: S608 - only a number of ours
)
_SINGLE = text(
    f"""
    SELECT until AS id, coalesce({_SIZE}, 0) AS size
    FROM search_renewal LEFT JOIN runs ON id = until
    WHERE done = until ORDER BY until LIMIT :limit
    """  # noqa: S608 - only a number of ours
)
_TEXTS = text(
    f"""
    SELECT id, user_id, left(prompt, {SEARCHED}) AS prompt,
    left(response, {SEARCHED}) AS response, CAST(output AS text) AS output
    FROM runs WHERE id = ANY(:ids) AND {IS_FINISHED} ORDER BY id
    """  # noqa: S608 - only a number and names of ours
).bindparams(bindparam("ids", type_=ARRAY(Text())))
# A row that has the same words is not written.
_INDEX = text(
    """
    UPDATE runs SET search_words = new.words
    FROM (SELECT words_to_index(:words) AS words OFFSET 0) AS new
    WHERE id = :run_id AND new.words IS NOT NULL
    AND strip(search_words) IS DISTINCT FROM strip(new.words)
    """
)


@dataclass(frozen=True, slots=True)
class _Portion:
    """Runs to index."""

    done: str | None
    """Where the range begins that they are of, if they are of one."""
    ids: Sequence[str] = ()
    rows: Sequence[Row[Any]] = ()


class ReindexStorage:
    """Indexes older runs anew; on SQLite, `SearchStorage` does so by itself."""

    _database: Database

    async def reindex_some(self) -> bool:
        """
        Index some more of the runs that an earlier version indexed.

        Returns:
            Whether there may be more.
        """
        if self._database.is_sole_owner:
            return False
        portion = await self._database.read(_next_portion)
        if portion is None:
            return False
        # Other servers may make the same words: one of them writes them.
        words = await asyncio.to_thread(_words, portion)
        await self._database.write(partial(_index, portion, words))
        return True


def _next_portion(connection: Connection) -> _Portion | None:
    span = connection.execute(_RANGE).first()
    if span is None:
        rows = connection.execute(_SINGLE, {"limit": AT_ONCE}).all()
    else:
        values = {"done": span.done, "until": span.until, "limit": AT_ONCE}
        rows = connection.execute(_IN_RANGE, values).all()
    if span is None and not rows:
        return None
    size = 0
    ids: list[str] = []
    for run_id, length in rows:
        size += length
        if ids and size > MUCH:
            break
        ids.append(run_id)
    texts = connection.execute(_TEXTS, {"ids": ids}).all()
    return _Portion(None if span is None else span.done, ids, texts)


def _words(portion: _Portion) -> Sequence[dict[str, str]]:
    return [{"run_id": row.id, "words": _words_of(row)} for row in portion.rows]


def _words_of(row: Row[Any]) -> str:
    # A run that was imported or finished since may have more than a text.
    output = None if row.output is None else json.loads(row.output)
    return lexemes(row.user_id, row.prompt, row.response, output)


def _index(
    portion: _Portion, words: Sequence[dict[str, str]], connection: Connection
) -> None:
    span = {"done": portion.done}
    if portion.done is not None and connection.scalar(_LOCKED_RANGE, span) is None:
        return  # another server writes them, or has done so
    if words:
        connection.execute(_INDEX, words)
    if portion.done is None:
        connection.execute(_DONE, {"ids": portion.ids})
    elif portion.ids:
        connection.execute(_ADVANCE, span | {"last": portion.ids[-1]})
    else:
        connection.execute(_END)
