"""What the readers of a run are handed."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from llamakeep.domain import Item, Run
from llamakeep.domain.messages import Unsaid
from llamakeep.domain.output import MARK, slices_of

PIECE = 64 * 1024
"""Characters that a reader is handed at a time: who does not read holds no more."""

LONG = 4 * PIECE
"""Characters of a text from which on it is read from storage once the run is over."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client has read: characters of the tape of one attempt's answer."""

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
    logprobs: str = field(default="", compare=False)
    """JSON of how likely its tokens were, as far as it is known; commas in between."""


@dataclass(frozen=True, slots=True)
class NextItem:
    """An item begins: the deltas that follow are of it."""

    item: Item
    """Without its text."""
    position: Position
    before: str = field(default="", compare=False)
    """The text of the item before it, which is complete."""


@dataclass(frozen=True, slots=True)
class ItemDelta:
    """More of an item that is no text: reasoning, or a tool call's arguments."""

    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class Reset:
    """
    The whole text so far: what the reader has is not its beginning.

    Where the answer begins with another item, that follows.
    """

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


Growth = Delta | NextItem | ItemDelta
Update = Growth | Reset | Silence | Ended


def sliced(update: Delta | ItemDelta | Reset) -> Iterator["Growth | Reset"]:
    """Yield what comes to the same as `update`, in texts of at most `PIECE`."""
    if len(update.text) <= PIECE:
        yield update
        return
    text, attempt = update.text, update.position.attempt
    begin = update.position.offset - len(text)
    kind: type[Delta | ItemDelta | Reset] = type(update)
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        yield kind(piece, Position(begin + start + len(piece), attempt))
        kind = Delta if kind is Reset else kind


def updates_of(
    tape: str, heads: Sequence[Item], position: Position, *, attempt: int
) -> Iterator[Growth | Reset]:
    """
    Yield what a reader at `position` lacks of an answer.

    Args:
        tape: The answer's.
        heads: Its items that have a mark in the tape.
        position: How far the reader is; all of that is the tape's beginning.
        attempt: Whose answer it is.
    """
    offset = position.offset
    begun = tape.count(MARK, 0, offset)
    kind = delta_of(heads[begun - 1] if begun else None)
    for head, text in slices_of(tape, heads, offset):
        if head is not None:
            before = tape[tape.rfind(MARK, 0, offset) + 1 : offset]
            offset += 1
            kind = delta_of(head)
            yield NextItem(head, Position(offset, attempt), before)
        offset += len(text)
        if text:
            yield from sliced(kind(text, Position(offset, attempt)))


def delta_of(item: Item | None) -> type[Delta | ItemDelta]:
    """Return the kind of the deltas of an item; `None` is the text at the beginning."""
    return ItemDelta if isinstance(item, Unsaid) else Delta


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
