"""The parts of a response in their order, by whatever way they are received."""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llamakeep.domain import Reasoning, Refusal, Text
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME
from llamakeep.providers.openai.deltas import CallPiece, Piece
from llamakeep.providers.openai.sealed import Sealed

SUMMARY, CONTENT, CALL, SEALED = range(4)
"""The kinds of parts: two of reasoning, the second of which messages have as well."""

APART = "\n\n"
"""What is between two parts of a reasoning, such as the paragraphs of a summary."""

Made = type[Text | Reasoning | Refusal | CallPiece | Sealed]


class Key(NamedTuple):
    """Where a part is in a response; parts are in the order of their keys."""

    output_index: int
    kind: int
    place: int = 0


MOST_PARTS = 1000
"""How many parts a response may have."""


class OtherText(ValueError):
    """A part says something else than it did."""


class TooManyParts(ValueError):
    """A response has more than `MOST_PARTS`."""


@dataclass(slots=True)
class _Part:
    """A part that grows."""

    make: Made
    head: CallPiece | None = None
    """The name and the id of a call."""
    is_done: bool = False
    is_begun: bool = False
    """Whether something of it was handed on."""
    length: int = 0
    known: list[str] = field(default_factory=list)
    """All that was received, of which the first is what was compared before."""
    news: list[str] = field(default_factory=list)
    """What was not handed on."""

    def beyond(self, said: str, place: int) -> str:
        """Return what is said from `place` on, beyond what has to be repeated."""
        end = place + len(said)
        if len(self.known) > 1 and end > len(self.known[0]):
            self.known = ["".join(self.known)]
        known = self.known[0][place:end] if self.known else ""
        if said[: len(known)] != known:
            raise OtherText
        return said[len(known) :]


class Parts:
    """
    What was received of a response: of streams, and of copies of it.

    A stream that begins again repeats what was received, and a copy may have less of it
    or more: only what is new is handed on, and each part when those before it are
    complete.
    """

    def __init__(self) -> None:
        self._parts: dict[Key, _Part] = {}
        self._open: list[Key] = []
        """Those that are not handed on to their end, in their order."""
        self._places: dict[Key, int] = {}
        """How far the stream is in each part."""
        self._last: _Part | None = None
        """The part that was handed on last."""
        self.length = 0
        """How many characters all have."""

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def has_calls(self) -> bool:
        """Whether a tool is called."""
        return any(part.make is CallPiece for part in self._parts.values())

    def rewind(self) -> None:
        """Take what a stream says next for the beginning of all parts."""
        self._places.clear()

    def begin(self, key: Key, make: Made, head: CallPiece | None = None) -> None:
        """
        Have a part, unless it is there.

        Raises:
            OtherText: It is something else.
            TooManyParts: It would be one too many.
        """
        part = self._parts.get(key)
        if part is None:
            if len(self._parts) >= MOST_PARTS:
                raise TooManyParts
            self._parts[key] = _Part(make, head)
            insort(self._open, key)
        elif part.make is not make:
            raise OtherText
        elif head is not None and not part.is_begun:
            part.head = head

    def grow(self, key: Key, make: Made, delta: str) -> None:
        """
        Take in what a stream says next of a part.

        Raises:
            OtherText: It has to repeat what was received, and does not.
        """
        self.begin(key, make)
        part = self._parts[key]
        place = self._places.get(key, 0)
        self._places[key] = place + len(delta)
        if place < part.length:
            delta = part.beyond(delta, place)
        self._add(part, delta)

    def complete(self, key: Key, make: Made, whole: str, *, is_done: bool) -> None:
        """
        Take in all of a part, as far as it goes.

        Raises:
            OtherText: It is not what was received before.
        """
        self.begin(key, make)
        part = self._parts[key]
        self._add(part, part.beyond(whole, 0))
        if is_done:
            part.is_done = True
            self._places[key] = part.length

    def close(self, output_index: int) -> None:
        """Wait for no more of an item."""
        for key, part in self._parts.items():
            if key.output_index == output_index:
                part.is_done = True

    def take(self, *, is_over: bool = False) -> Sequence[Piece]:
        """Return what can be handed on; if the response is over, that is all."""
        pieces: list[Piece] = []
        while self._open:
            key = self._open[0]
            part = self._parts[key]
            part.is_done = part.is_done or is_over
            self._take(part, key.output_index, pieces)
            if not part.is_done:
                break
            del self._open[0]
        return pieces

    def _add(self, part: _Part, text: str) -> None:
        if text:
            part.known.append(text)
            part.news.append(text)
            part.length += len(text)
            self.length += len(text)

    def _take(self, part: _Part, number: int, pieces: list[Piece]) -> None:
        text = "".join(part.news)
        is_call, is_first = part.make is CallPiece, not part.is_begun
        if is_call and is_first:
            if not (part.is_done or (part.head and part.head.name)):
                return  # its name comes later
            head = part.head or CallPiece("", number=number)
            pieces.append(head._replace(text=text))
        elif not text:
            return
        elif is_call:
            pieces.append(CallPiece(text, number=number))
        elif part.make is Reasoning:
            last = self._last
            is_next = is_first and last is not None and last.make is Reasoning
            pieces.append(Reasoning(APART + text if is_next else text))
        else:
            pieces.append(part.make(text))
        part.news.clear()
        part.is_begun = True
        self._last = part


def call_in(item: Mapping[str, object], output_index: int) -> CallPiece:
    """Return the beginning of the call that an item is."""
    name, call_id = item.get("name"), item.get("call_id") or item.get("id")
    return CallPiece(
        "",
        # One character too many is enough to refuse it, whenever it is handed on.
        name[: LONGEST_NAME + 1] if isinstance(name, str) else "",
        call_id[: LONGEST_CALL_ID + 1] if isinstance(call_id, str) else "",
        output_index,
    )
