"""What the readers of a run are told."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Self

from llamakeep.domain import Run

PIECE = 64 * 1024
"""Characters that a reader is handed at a time: who does not read holds no more."""

LONG = 4 * PIECE
"""Characters of a text from which on it is read from storage once the run is over."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has read: a number of characters, of one attempt's text."""

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
    """There is nothing new, but the run goes on."""


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
