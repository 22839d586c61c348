"""
Responses of finished runs, read in pieces.

On SQLite through its incremental blob I/O, which counts bytes: `substr()` would read
the whole text for each piece.
"""

import codecs
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
)

from llamakeep.domain import Run, User
from llamakeep.errors import RunNotFound
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs
from llamakeep.storage.runs.rows import READ, to_run

PIECE = 256 * 1024
"""Size of a piece: bytes on SQLite, characters on PostgreSQL."""


class _Stored(str):
    """A type of its own, so that no other string is the same object."""

    __slots__ = ()


STORED = _Stored("stored")
"""Stands for a text that was not read from the database."""

_IS_MEANT = (runs.c.id == bindparam("run_id"), runs.c.user_id == bindparam("user_id"))
_LEFT_OUT = {
    "prompt": "''",
    "response": "''",
    "earlier": "NULL",
    "last_message": "NULL",
    "output": "NULL",
}
_OUTLINE = select(
    *(
        literal_column(_LEFT_OUT[column.name]) if column.name in _LEFT_OUT else column
        for column in READ
    )
).where(*_IS_MEANT)
# An answer of several items is read as a whole: they are about its text.
_IS_LONG = and_(
    runs.c.output.is_(None),
    func.octet_length(runs.c.response) > bindparam("longest"),
)
WITHOUT_LONG = (
    *(
        case((_IS_LONG, ""), else_=column).label("response")
        if column is runs.c.response
        else column
        for column in READ
    ),
    _IS_LONG.label("is_long"),
)
"""The columns for `to_run_without_long`; `longest` is a parameter, in bytes."""
_ROW = select(literal_column("runs.rowid", Integer)).select_from(runs).where(*_IS_MEANT)
_LENGTH = select(func.length(runs.c.response)).where(*_IS_MEANT)
_PIECE = select(
    func.substr(runs.c.response, bindparam("first"), literal_column(str(PIECE)))
).where(*_IS_MEANT)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text, or its end."""

    offset: int
    """In characters."""
    stored: int
    """In the database's unit: bytes on SQLite."""
    is_end: bool = False


START = Place(0, 0)


class LongTextStorage:
    """Reads long texts."""

    _database: Database

    async def outline(self, user: User, run_id: str) -> Run:
        """
        Return one of `user`'s runs without what may be long.

        Its prompt and response are empty, and it has no `prior_messages`.

        Raises:
            RunNotFound: `user` has no such run.
        """
        values = {"run_id": run_id, "user_id": user.id}
        row = await self._database.read(
            lambda connection: connection.execute(_OUTLINE, values).one_or_none()
        )
        if row is None:
            raise _not_found(run_id)
        return to_run(row)

    async def text_piece(self, run: Run, place: Place) -> tuple[str, Place]:
        """
        Return a piece of a response, and the place where the next one begins.

        Raises:
            RunNotFound: It was deleted.
        """

        def operation(connection: Connection) -> tuple[str, Place]:
            if connection.dialect.name == "sqlite":
                with _opened(connection, run) as blob:
                    return _read(blob, place)
            values = _values(run) | {"first": place.stored + 1}
            text = connection.scalar(_PIECE, values)
            if text is None:
                raise _not_found(run.id)
            end = place.offset + len(text)
            return text, Place(end, end, is_end=len(text) < PIECE)

        return await self._database.read(operation)

    async def place_in_text(self, run: Run, offset: int) -> Place:
        """
        Return the place of a character offset, or the response's end if it is shorter.

        Raises:
            RunNotFound: It was deleted.
        """
        if not offset:
            return START

        def operation(connection: Connection) -> Place:
            if connection.dialect.name == "sqlite":
                with _opened(connection, run) as blob:
                    return _find(blob, offset)
            length = connection.scalar(_LENGTH, _values(run))
            if length is None:
                raise _not_found(run.id)
            end = min(offset, length)
            return Place(end, end, is_end=offset >= length)

        return await self._database.read(operation)

    async def text_pieces(self, run: Run, place: Place = START) -> AsyncIterator[str]:
        """
        Yield a response from `place` on; each piece is read when the caller wants it.

        Raises:
            RunNotFound: It was deleted.
        """
        while not place.is_end:
            text, place = await self.text_piece(run, place)
            if text:
                yield text


def to_run_without_long(row: Row[Any]) -> Run:
    """Return a run whose response is `STORED` if it is long."""
    run = to_run(row)
    return replace(run, response=STORED) if row.is_long else run


def outline_of(run: Run) -> Run:
    """Return `run` as `outline` would: who reads it slowly holds no more of it."""
    return replace(
        run, prompt="", response="", prior_messages=(), last_message=None, output=()
    )


def _values(run: Run) -> dict[str, Any]:
    return {"run_id": run.id, "user_id": run.user_id}


def _opened(connection: Connection, run: Run) -> Any:
    """Open a response as the SQLite driver's `Blob`."""
    row = connection.scalar(_ROW, _values(run))
    if row is None:
        raise _not_found(run.id)
    raw = connection.connection.driver_connection
    assert raw is not None
    # Python's `sqlite3` says `blobopen`, newer drivers `open_blob`.
    driver: Any = raw
    opening = driver.open_blob if hasattr(driver, "open_blob") else driver.blobopen
    return opening("runs", "response", row, readonly=True)


def _read(blob: Any, place: Place) -> tuple[str, Place]:
    blob.seek(place.stored)
    data = blob.read(PIECE)
    is_end = place.stored + len(data) >= len(blob)
    text, used = codecs.utf_8_decode(data, "replace", is_end)
    return text, Place(place.offset + len(text), place.stored + used, is_end=is_end)


def _find(blob: Any, offset: int) -> Place:
    place = START
    while not place.is_end:
        text, after = _read(blob, place)
        if after.offset >= offset:
            rest = text[offset - place.offset :]
            stored = after.stored - len(rest.encode())
            return Place(offset, stored, is_end=after.is_end and not rest)
        place = after
    return place


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(f"There is no run {run_id!r} in your history.")
