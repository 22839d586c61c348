"""
Copies of a database to another one, which may be of the other kind, table by table.

Rows are compared by their primary key before they are written, so that a copy which
was killed continues, and a second pass proves that all are equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    func,
    insert,
    literal,
    select,
    update,
)

from llamakeep.domain import RunStatus
from llamakeep.errors import StorageUnavailable
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.backup.portions import has_key_of, next_keys
from llamakeep.storage.database import schema
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import images, runs
from llamakeep.storage.history.indexing import INSERT_INDEXED, WORDS, indexed_runs
from llamakeep.storage.history.words import lexemes
from llamakeep.storage.metadata import metadata

Progress = Callable[[str, int], None]
"""Takes the name of a table, and how many of its rows were looked at."""

_SIZES: Mapping[str, ColumnElement[int]] = {
    runs.name: func.length(runs.c.prompt) + func.length(runs.c.response),
    images.name: images.c.size,
}


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has."""

    rows: int
    written: int
    """How many of them were written now, and not by an earlier attempt."""


async def copy_rows(
    source: Database, target: Database, *, where: str, progress: Progress
) -> Copied:
    """
    Copy all rows, and compare them once more.

    Args:
        source: What is copied; nothing else writes to it.
        target: Where to, with the same tables.
        where: What `source` is, by which a killed copy is found again.
        progress: Is called after each transaction.

    Raises:
        StorageUnavailable: `target` has other rows, or is not equal at the end.
    """
    await target.write(partial(_begin, where=where))
    written = await _pass(source, target, progress)
    if await _pass(source, target, progress):
        raise StorageUnavailable(
            "Rows differed after they were copied: something writes to one of the "
            "databases. Stop it, and copy to an empty one."
        )
    rows = 0
    for table in metadata.sorted_tables:
        ours, theirs = [
            await each.read(partial(_count, table=table)) for each in (source, target)
        ]
        if ours != theirs:
            raise StorageUnavailable(
                f"The copy has {theirs:,} rows of {table.name} instead of {ours:,}: "
                "some were deleted between two attempts. Copy to an empty database."
            )
        rows += ours
    await target.write(schema.COPY_MARK.drop)
    return Copied(rows, written)


async def _pass(source: Database, target: Database, progress: Progress) -> int:
    """Write what is missing or differs, and return how many rows these were."""
    written = 0
    for table in metadata.sorted_tables:
        seen = 0
        after: tuple[Any, ...] | None = None
        while batch := await source.read(partial(_read, table=table, after=after)):
            written += await target.write(partial(_bring, table=table, batch=batch))
            seen += len(batch)
            progress(table.name, seen)
            after = _key(table, batch[-1])
    return written


def _begin(connection: Connection, *, where: str) -> None:
    schema.check(connection)
    begun = schema.copied_from(connection)
    if begun == where:
        return
    if begun is not None:
        raise StorageUnavailable(
            f"A copy of {begun} was begun there, and not of {where}. Nothing was "
            "changed. Copy to an empty database."
        )
    if connection.scalar(select(literal(1)).select_from(users).limit(1)):
        raise StorageUnavailable(
            "There are users in the database to copy to. Nothing was changed. Copy to "
            "an empty one."
        )
    schema.COPY_MARK.create(connection)
    connection.execute(insert(schema.COPY_MARK).values(source=where))


def _count(connection: Connection, *, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _read(
    connection: Connection, *, table: Table, after: tuple[Any, ...] | None
) -> Sequence[RowMapping]:
    """Return the next rows behind a primary key."""
    key = [*table.primary_key]
    sized_keys = select(*key, _SIZES.get(table.name, literal(0)))
    keys = next_keys(connection, sized_keys, key, after)
    if not keys:
        return []
    some = select(table).where(has_key_of(keys, key)).order_by(*key)
    return connection.execute(some).mappings().all()


def _bring(connection: Connection, *, table: Table, batch: Sequence[RowMapping]) -> int:
    """Write those rows that are missing or differ, and return how many."""
    key = [*table.primary_key]
    keys = [_key(table, row) for row in batch]
    known = {
        _key(table, row): row
        for row in connection.execute(
            select(table).where(has_key_of(keys, key))
        ).mappings()
    }
    new = [row for row in batch if _key(table, row) not in known]
    other = [
        row for row in batch if (there := known.get(_key(table, row))) and there != row
    ]
    if new:
        _insert(connection, table, [dict(row) for row in new])
    for row in other:
        _update(connection, table, row)
    return len(new) + len(other)


def _insert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]]
) -> None:
    if table is not runs or connection.dialect.name == "sqlite":
        connection.execute(insert(table), rows)
        return
    connection.execute(INSERT_INDEXED, [{**row, "words": _words(row)} for row in rows])


def _update(connection: Connection, table: Table, row: RowMapping) -> None:
    is_indexed = table is runs and connection.dialect.name == "postgresql"
    target = indexed_runs if is_indexed else table
    is_here = [column == row[column.name] for column in target.primary_key]
    query = update(target).where(*is_here).values(dict(row))
    if is_indexed:
        query = query.values(search_words=WORDS)
        connection.execute(query, {"words": _words(dict(row))})
    else:
        connection.execute(query)


def _words(row: Mapping[str, Any]) -> str | None:
    """Return what PostgreSQL indexes of a run, if it is over."""
    if not RunStatus(row["status"]).is_final:
        return None
    return lexemes(row["user_id"], row["prompt"], row["response"], row["output"])


def _key(table: Table, row: RowMapping) -> tuple[Any, ...]:
    return tuple(row[column] for column in table.primary_key)
