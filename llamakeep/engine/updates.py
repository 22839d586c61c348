"""What the readers of a run are handed."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Self

from llamakeep.domain import Run

PIECE = 64 * 1024
"""Characters that a reader is handed at a time: who does not read holds no more."""

LONG = 4 * PIECE
"""Characters of a text from which on it is read from storage once the run is over."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client has read: a number of characters, of one attempt's text."""

    offset: int = 0
    attempt: int | None = None
    """`None` when the reader did not say."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what `str()` of a position means: `57`, or `57@2` in attempt 2."""
        match = re.fullmatch(r"([0-9]{1,9})(?:@([0-9]{1,9}))?", text)
        if match is None:
            return None
        return cls(int(match[1]), int(match[2]) if match[2] else None)

    def __str__(self) -> str:
        if self.attempt is None or self.attempt == 1:
            return str(self.offset)
        return f"{self.offset}@{self.attempt}"


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that follows what the reader has."""

    text: str
    position: Position
    """Where the reader is after it."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The whole text so far: what the reader has is not its beginning."""

    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class Silence:
    """There is nothing new, and the run has not ended."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """A long text, which is read a piece at a time."""

    length: int
    """Characters."""
    pieces: Callable[[], AsyncIterator[str]]
    """Reads it from its beginning."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over, and durable."""

    run: Run
    text: StoredText | None = None
    """If its text is long: then `run` is only its outline, without any texts."""


Update = Delta | Reset | Silence | Ended


def sliced(update: Update) -> Iterator[Update]:
    """Yield what comes to the same as `update`, in texts of at most `PIECE`."""
    if not isinstance(update, Delta | Reset) or len(update.text) <= PIECE:
        yield update
        return
    text, attempt = update.text, update.position.attempt
    begin = update.position.offset - len(text)
    kind = type(update)
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        yield kind(piece, Position(begin + start + len(piece), attempt))
        kind = Delta


def known_length(
    position: Position, attempt: int, common_length: int | None, length: int
) -> int:
    """
    Return how many characters of a stored text are what a reader read.

    The first `common_length` characters are the same in all attempts.
    """
    if (position.attempt or 1) == attempt or not position.offset:
        return length
    return min(common_length or 0, length)
