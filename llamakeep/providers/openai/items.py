"""The items of an answer, one after the other, however a server mixes them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from llamakeep.domain import Item, Reasoning, Refusal, Text, ToolCall
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME
from llamakeep.providers.base import ItemBegun, ItemText, Logprobs, call_id_of
from llamakeep.providers.json_text import Joiner
from llamakeep.providers.openai.calls import Calls, GrowingCall
from llamakeep.providers.openai.deltas import CallPiece, Piece
from llamakeep.providers.openai.sealed import Sealed, sealed_extra

MOST_ITEMS = 1000
"""How many items one answer may have."""

Growth = str | ItemBegun | ItemText | Logprobs
Said = str | list[Growth]
"""What an answer grows by: text, or all of it in its order where there is more."""


def joined(said: Sequence[Said]) -> Said:
    """Return in one what was said."""
    try:
        return "".join(said)  # type: ignore[arg-type] # as nearly all is text alone
    except TypeError:
        pass
    growths: list[Growth] = []
    texts: list[str] = []
    kind: type[str | ItemText] = str
    lists = ([one] if isinstance(one, str) else one for one in said if one)
    for each in chain.from_iterable(lists):
        if texts and type(each) is not kind:
            growths.append(kind("".join(texts)))
            texts.clear()
        if isinstance(each, ItemBegun | Logprobs):
            growths.append(each)
        else:
            kind = type(each)
            texts.append(each if isinstance(each, str) else each.text)
    if texts:
        growths.append(kind("".join(texts)))
    match growths:
        case [str(text)]:
            return text
    return growths


_HEADS: Mapping[type[Item], Item] = {
    Text: Text(),
    Reasoning: Reasoning(),
    Refusal: Refusal(),
}


class _Entry:
    """An item, and what is known of it and has not gone out."""

    def __init__(
        self,
        kind: type[Item],
        call: GrowingCall | None = None,
        sealed: str | None = None,
    ) -> None:
        self.kind = kind
        self.call = call
        self.sealed = sealed
        self.is_begun = self.is_closed = False
        self.texts: list[str] = []

    @property
    def is_complete(self) -> bool:
        """Whether it is complete when something else comes."""
        return self.call is None or self.call.is_complete()

    @property
    def is_ready(self) -> bool:
        """Whether it can begin before it is complete."""
        return self.call is None or bool(self.call.name and self.call.length)


class Items:
    """
    Puts what is said in the order of items, each of which ends before the next begins.

    The pieces of one tool call may come between those of another. What is not of the
    item that is open waits until that one is complete: for certain when the answer is.

    Args:
        run_id: Of the ids of calls that have none, which are the same at each attempt.
        joiner: Makes text of the pieces.
        invalid: Makes the error for what is too long.
        has_begun: Whether the answer began with a text.
    """

    def __init__(
        self,
        run_id: str,
        joiner: Joiner,
        invalid: Callable[[str], Exception],
        *,
        has_begun: bool,
    ) -> None:
        self._run_id = run_id
        self._joiner = joiner
        self._invalid = invalid
        self._calls = Calls()
        self._ids: set[str] = set()
        self._given_ids: dict[GrowingCall, str] = {}
        self._sealed: set[GrowingCall] = set()
        self._entries: dict[GrowingCall, _Entry] = {}
        self._open: _Entry | None = None
        self._waiting: list[_Entry] = []
        self._count = 0
        self._is_cut = False
        self._growths: list[Growth] = []
        self._has_begun = has_begun
        if has_begun:
            self._open = self._counted(_Entry(Text))
            self._open.is_begun = True

    def add(self, pieces: Sequence[Piece]) -> None:
        """
        Take in what one event says.

        Raises:
            ProviderAnswerInvalid: A name is too long, there are too many items, or one
                grows that was complete.
        """
        call: GrowingCall | None = None
        for piece in pieces:
            if isinstance(piece, Sealed):
                self._seal(piece)
                continue
            if not isinstance(piece, CallPiece):
                self._grow(self._entry_of(type(piece)), piece.text)
                continue
            found = self._calls.find(piece, is_next_of=call)
            if found is None:
                continue
            call = found
            call.add(piece)
            if len(call.name) > LONGEST_NAME:
                call.name = call.name[:LONGEST_NAME]  # what came is kept
                raise self._invalid(
                    f"has a name of a tool of more than {LONGEST_NAME} characters"
                )
            if len(call.call_id) > LONGEST_CALL_ID:
                call.call_id = call.call_id[:LONGEST_CALL_ID]
                raise self._invalid(
                    f"has a tool call's id of more than {LONGEST_CALL_ID} characters"
                )
            if call.is_empty:
                continue
            if piece.extra and call not in self._sealed:
                self._sealed.add(call)
                self._seal(sealed_extra(piece.extra, self._id_of(call)))
            self._grow(self._entry_of_call(call), piece.text)

    def take(self) -> Said:
        """Return what can be said of the items since this was called last."""
        said, self._growths = self._growths, []
        match said:
            case [str(text)]:
                return text
        return said

    def end(self, *, is_whole: bool = True) -> Said:
        """
        Return the rest, when nothing more comes.

        Raises:
            ProviderAnswerInvalid: The answer is whole, and calls a tool without a name.
        """
        self._is_cut = not is_whole
        self._advance(is_end=True)
        self._close()
        return self.take()

    def _entry_of(self, kind: type[Text | Reasoning | Refusal]) -> _Entry:
        last = self._waiting[-1] if self._waiting else self._open
        if last is None or last.kind is not kind or last.sealed is not None:
            last = self._counted(_Entry(kind))
            self._waiting.append(last)
        return last

    def _entry_of_call(self, call: GrowingCall) -> _Entry:
        entry = self._entries.get(call)
        if entry is None:
            entry = self._entries[call] = self._counted(_Entry(ToolCall, call))
            at = len(self._waiting)
            while at and _comes_before(call, self._waiting[at - 1].call):
                at -= 1
            self._waiting.insert(at, entry)
        return entry

    def _seal(self, piece: Sealed) -> None:
        """Add what is to be handed back, as reasoning without text."""
        self._waiting.append(self._counted(_Entry(Reasoning, sealed=piece.text)))
        self._advance()

    def _counted(self, entry: _Entry) -> _Entry:
        self._count += 1
        if self._count > MOST_ITEMS:
            raise self._invalid(f"has more than {MOST_ITEMS} items")
        return entry

    def _grow(self, entry: _Entry, text: str) -> None:
        if entry.is_closed:
            if text and not text.isspace():
                raise self._invalid("has more of a tool call that was complete")
            return
        if text:
            entry.texts.append(text)
        if entry is self._open:
            self._say(entry)
        self._advance()

    def _advance(self, *, is_end: bool = False) -> None:
        """Open what waits, as far as what is before it is complete."""
        while self._waiting and (
            is_end or self._open is None or self._open.is_complete
        ):
            self._close()
            self._open = self._waiting.pop(0)
            self._say(self._open)

    def _say(self, entry: _Entry) -> None:
        """Say what is known of the item that is open."""
        if not entry.is_begun:
            if not entry.is_ready:
                return
            self._begin(entry)
        if entry.texts:
            self._put(self._joiner.join("".join(entry.texts)))
            entry.texts.clear()

    def _close(self) -> None:
        entry = self._open
        if entry is None:
            return
        entry.is_closed = True
        if entry.call is not None and not entry.call.name:
            if entry.call.length and not self._is_cut:
                raise self._invalid("calls a tool without saying which")
            return  # a beginning of which nothing can be made
        if not entry.is_begun:
            self._begin(entry)
        self._say(entry)
        self._put(self._joiner.end())

    def _begin(self, entry: _Entry) -> None:
        entry.is_begun = True
        is_first, self._has_begun = not self._has_begun, True
        if entry.call is not None:
            head = ToolCall(self._id_of(entry.call), _cleaned(entry.call.name))
            self._growths.append(ItemBegun(head))
        elif entry.sealed is not None:
            self._growths.append(ItemBegun(Reasoning(sealed=entry.sealed)))
        elif not (is_first and entry.kind is Text):  # as an answer begins
            self._growths.append(ItemBegun(_HEADS[entry.kind]))

    def _put(self, text: str) -> None:
        assert self._open is not None
        if text:
            is_said = self._open.kind in (Text, Refusal)
            self._growths.append(text if is_said else ItemText(text))

    def _id_of(self, call: GrowingCall) -> str:
        """Return the id of a call, which none before it has."""
        if (given := self._given_ids.get(call)) is not None:
            return given
        number = len(self._ids) + 1
        known = _cleaned(call.call_id) or call_id_of(self._run_id, number)
        found = known
        while found in self._ids:
            suffix = f"_{number}"
            found = f"{known[: LONGEST_CALL_ID - len(suffix)]}{suffix}"
            number += 1
        self._ids.add(found)
        self._given_ids[call] = found
        return found


def _comes_before(call: GrowingCall, other: GrowingCall | None) -> bool:
    if other is None or call.number is None or other.number is None:
        return False
    return call.number < other.number


def _cleaned(name: str) -> str:
    joiner = Joiner()
    return joiner.join(name) + joiner.end()
