"""Importing a file line by line, however large it is."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from llamakeep.api.imported_runs import ImportedRun
from llamakeep.api.problems import message_of
from llamakeep.domain import Run, User
from llamakeep.errors import FieldError, InvalidRequest, StorageUnavailable
from llamakeep.storage import Storage

AT_ONCE = 50
"""Lines; they are kept together, or none of them."""

ENOUGH = 1024 * 1024
"""Bytes from which on fewer lines are kept together."""

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes; a line has to be read as a whole."""

MOST_ERRORS = 20

Lines = Sequence[tuple[int, bytes]]


class Import:
    """
    Keeps the runs in a file for a user, and knows how far it has come.

    Args:
        storage: Where they are kept.
        user: Whose they become.
    """

    def __init__(self, storage: Storage, user: User) -> None:
        self.imported = 0
        self.known = 0
        """How many were there already."""
        self._storage = storage
        self._user = user
        self._kept_lines = 0

    async def read(self, pieces: AsyncIterable[bytes]) -> None:
        """
        Keep all runs of a file that arrives in pieces.

        Raises:
            InvalidRequest: It names the lines that cannot be imported, and says how far
                the file was kept.
            StorageUnavailable: It says how far the file was kept.
        """
        try:
            async for lines in _together(pieces):
                await self._keep(lines)
        except InvalidRequest as error:
            detail = f"{self.so_far} Mend what `errors` says, and import it again."
            raise InvalidRequest(detail, errors=error.errors) from None
        except StorageUnavailable as error:
            detail = f"The database cannot keep more. {self.so_far}"
            raise StorageUnavailable(detail, retry_after=5) from error

    @property
    def so_far(self) -> str:
        """What is kept of a file that is not imported to its end."""
        if not self._kept_lines:
            return "Nothing was imported."
        return (
            f"Lines 1 to {self._kept_lines} are imported, and nothing after them. What "
            "is there already is not imported twice, so that all of the file can be "
            "sent again."
        )

    async def _keep(self, lines: Lines) -> None:
        runs = await asyncio.to_thread(_parse, lines, self._user)
        new = await self._storage.import_runs(self._user, runs)
        self.imported += new
        self.known += len(runs) - new
        self._kept_lines = lines[-1][0]


async def _together(pieces: AsyncIterable[bytes]) -> AsyncIterator[Lines]:
    """
    Yield lines that are to be kept together, with their numbers.

    Raises:
        InvalidRequest: A line does not end.
    """
    lines: list[tuple[int, bytes]] = []
    size = 0
    async for number, line in _numbered(pieces):
        if line.strip():
            lines.append((number, line))
            size += len(line)
        if len(lines) == AT_ONCE or size >= ENOUGH:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


async def _numbered(pieces: AsyncIterable[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number, begun, size = 1, list[bytes](), 0
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > LONGEST_LINE:
            message = f"It has more than {LONGEST_LINE // 1024**2} MiB."
            raise InvalidRequest(errors=[FieldError(f"line {number}", message)])
        for other in others:
            yield number, b"".join(begun)
            number, begun, size = number + 1, [other], len(other)
    yield number, b"".join(begun)


def _parse(lines: Lines, user: User) -> list[Run]:
    runs, errors = [], list[FieldError]()
    for number, line in lines:
        try:
            runs.append(ImportedRun.model_validate_json(line).of(user))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            errors += [_field_error(number, each) for each in found]
    if errors:
        raise InvalidRequest(errors=errors[:MOST_ERRORS])
    return runs


def _field_error(number: int, error: Mapping[str, Any]) -> FieldError:
    path = ".".join(str(part) for part in error["loc"])
    return FieldError(f"line {number}: {path}".rstrip(": "), message_of(error))
