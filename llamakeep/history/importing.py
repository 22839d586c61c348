"""Importing a file of runs line by line, in bounded memory."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from pydantic import ByteSize, ValidationError

from llamakeep.domain import Run, User
from llamakeep.errors import (
    FieldError,
    ImageNotFound,
    InvalidRequest,
    StorageUnavailable,
    TooManyReaders,
)
from llamakeep.errors.wording import path_of, wording_of
from llamakeep.history.imported_runs import ImportedRun, longest_line
from llamakeep.storage import Storage

AT_ONCE = 50
"""How many lines are stored in one transaction."""

ENOUGH = 1024 * 1024
"""Bytes from which on a transaction takes fewer lines."""

LONG = 8 * 1024 * 1024
"""Bytes of a long line; a user may import one file with such lines at a time."""

MOST_ERRORS = 20

Lines = Sequence[tuple[int, bytes]]

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WRITTEN = re.compile(rb"\S[^\n]*")
"""A line that is not blank, from its first visible character."""


class Import:
    """
    Stores the runs of a file, and counts them.

    Before the first `LONG` line is read into memory, `hold` is called. It may raise
    `TooManyReaders`, and returns a function to call when the import has ended. A run's
    prompt and its prior messages may have `max_said` bytes, its images `max_images`.
    """

    def __init__(
        self,
        storage: Storage,
        user: User,
        *,
        max_said: ByteSize,
        max_images: ByteSize,
        hold: Callable[[], Callable[[], None]] = lambda: lambda: None,
    ) -> None:
        self._hold = hold
        self._release: Callable[[], None] | None = None
        self.imported = 0
        self.known = 0
        """Runs that were in storage already."""
        self._storage = storage
        self._user = user
        self._max_said = max_said
        self._max_images = max_images
        self._kept_lines = 0

    async def read(self, pieces: AsyncIterable[bytes]) -> None:
        """
        Store the runs of a file that arrives in pieces.

        Raises:
            InvalidRequest: Lines are invalid; those before them are stored.
            StorageUnavailable: A transaction failed; the lines before it are stored.
            TooManyReaders: The user imports another file with long lines.
        """
        try:
            longest = longest_line(self._max_said, self._max_images)
            async for lines in _together(pieces, longest, self._notice_long):
                await self._keep(lines)
        except InvalidRequest as error:
            detail = f"{self.so_far} Correct these lines, and import it again."
            raise InvalidRequest(detail, errors=error.errors) from None
        except StorageUnavailable as error:
            detail = f"The database cannot keep more. {self.so_far}"
            raise StorageUnavailable(detail, retry_after=5) from error
        except TooManyReaders as error:
            detail = f"Another file with long lines is being imported. {self.so_far}"
            raise TooManyReaders(detail, retry_after=5) from error
        finally:
            if self._release is not None:
                self._release()

    def _notice_long(self) -> None:
        if self._release is None:
            self._release = self._hold()

    @property
    def so_far(self) -> str:
        """Which lines are imported, for an error's detail."""
        if not self._kept_lines:
            return "Nothing was imported."
        return (
            f"Lines 1 to {self._kept_lines} are imported, and nothing after them. What "
            "is there already is not imported twice, so that all of the file can be "
            "sent again."
        )

    async def _keep(self, lines: Lines) -> None:
        runs = await asyncio.to_thread(_parse, lines, self._user)
        try:
            new = await self._storage.import_runs(self._user, runs)
        except ImageNotFound as error:
            first, last = lines[0][0], lines[-1][0]
            place = f"line {first}" if first == last else f"line {first} to {last}"
            raise InvalidRequest.of(place, error.detail) from None
        self.imported += new
        self.known += len(runs) - new
        self._kept_lines = lines[-1][0]


async def _together(
    pieces: AsyncIterable[bytes], longest: int, notice_long: Callable[[], None]
) -> AsyncIterator[Lines]:
    """Yield the lines of each transaction, with their numbers."""
    lines: list[tuple[int, bytes]] = []
    size = 0
    async for number, line in _numbered(pieces, longest, notice_long):
        if line.strip():
            lines.append((number, line))
            size += len(line)
        if len(lines) == AT_ONCE or size >= ENOUGH:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


async def _numbered(
    pieces: AsyncIterable[bytes], longest: int, notice_long: Callable[[], None]
) -> AsyncIterator[tuple[int, bytes]]:
    number, begun = 1, bytearray()
    async for piece in pieces:
        first, newline, _ = piece.partition(b"\n")
        begun += first
        if len(begun) > LONG:
            notice_long()
        if len(begun) > longest:
            raise InvalidRequest.of(
                f"line {number}", f"It has more than {longest // 1024**2} MiB."
            )
        if not newline:
            continue
        yield number, bytes(begun)
        # A piece may be thousands of blank lines, which are only counted.
        start, last = len(first), piece.rindex(b"\n") + 1
        for line in _WRITTEN.finditer(piece, start, last):
            number += piece.count(b"\n", start, line.start())
            start = line.start()
            yield number, line[0]
        number += piece.count(b"\n", start, last)
        begun = bytearray(piece[last:])
    yield number, bytes(begun)


def _parse(lines: Lines, user: User) -> list[Run]:
    runs, errors = [], list[FieldError]()
    for number, line in lines:
        if number == 1:
            line = _first(line)  # noqa: PLW2901
        try:
            run = ImportedRun.model_validate_json(line)
            runs.append(run.of(user))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            errors += [_field_error(number, each) for each in found]
    if errors:
        raise InvalidRequest(errors=errors[:MOST_ERRORS])
    return runs


def _first(line: bytes) -> bytes:
    """Strip the byte order mark; refuse a compressed file."""
    if line.startswith(_GZIP):
        raise InvalidRequest.of(
            "line 1",
            "It is compressed. Unpack the file first, for example with `gunzip`.",
        )
    return line.removeprefix(_BYTE_ORDER_MARK)


def _field_error(number: int, error: Mapping[str, Any]) -> FieldError:
    path = ".".join(path_of(error["loc"]))
    return FieldError(f"line {number}: {path}".rstrip(": "), wording_of(error))
