"""Which tool call a piece of a stream belongs to, however a server numbers them."""

import re

from llamakeep.providers.openai.deltas import CallPiece

_LONGEST_LOOKED_AT = 256 * 1024
"""Characters of arguments of which it is found out whether they are complete."""
_STRUCTURE = re.compile(r'\\(?:.|$)|["\[\]{}]', re.DOTALL)


class GrowingCall:
    """A tool call that may grow."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.call_id = ""
        self.name = ""
        self.length = 0
        self._texts: list[str] = []
        self._depth = 0
        self._is_in_string = False
        self._unread = ""
        self._read = 0
        """How many of the texts were looked at."""

    def add(self, piece: CallPiece) -> None:
        """Take in more of it."""
        if not (self.name and self.length):
            if piece.name.startswith(self.name):  # said again, or more of it each time
                self.name = piece.name
            else:
                self.name += piece.name
        self.length += len(piece.text)
        if self.length > _LONGEST_LOOKED_AT:
            self._texts.clear()
        elif piece.text:
            self._texts.append(piece.text)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said of it but its number."""
        return not (self.name or self.call_id or self.length)

    def has(self, text: str) -> bool:
        """Return whether a text is all of its arguments."""
        return len(text) == self.length and text == "".join(self._texts)

    def is_complete(self) -> bool:
        """
        Return whether its arguments are complete, as far as that can be seen.

        They are if each bracket is closed.
        """
        if self.length > _LONGEST_LOOKED_AT:
            return False
        text = self._unread + "".join(self._texts[self._read :])
        self._read = len(self._texts)
        self._unread = ""
        for found in _STRUCTURE.finditer(text):
            match found[0]:
                case '"':
                    self._is_in_string = not self._is_in_string
                case "\\":
                    self._unread = "\\"
                case "{" | "[" if not self._is_in_string:
                    self._depth += 1
                case "}" | "]" if not self._is_in_string:
                    self._depth -= 1
        is_json = self.length > 0 and self._texts[0].lstrip()[:1] in ("{", "[")
        return is_json and not (self._depth or self._is_in_string or self._unread)


class Calls:
    """The tool calls of an answer."""

    def __init__(self) -> None:
        self._by_number: dict[int, GrowingCall] = {}
        self._by_id: dict[str, GrowingCall] = {}
        self._last: GrowingCall | None = None

    def find(
        self, piece: CallPiece, *, is_next_of: GrowingCall | None
    ) -> GrowingCall | None:
        """
        Return the call of a piece, which may be a new one; `None` if it says one again.

        Args:
            piece: The piece.
            is_next_of: The call of the piece before it in the same event.
        """
        call = self._known(piece)
        if call is not None and _is_repeated(piece, call):
            return None
        if call is None or _begins(piece, call, is_next=call is is_next_of):
            call = GrowingCall(piece.number)
        call.call_id = call.call_id or piece.call_id
        self._last = self._by_id[call.call_id] = call
        if piece.number is not None:
            self._by_number[piece.number] = call
        return call

    def _known(self, piece: CallPiece) -> GrowingCall | None:
        if piece.is_whole:
            return None
        if piece.number is not None:
            known, last = self._by_number.get(piece.number), self._last
            if known is not None or piece.name or piece.call_id or last is None:
                return known
            return None if last.is_complete() else last  # it was numbered wrongly
        return (self._by_id.get(piece.call_id) if piece.call_id else None) or self._last


def _is_repeated(piece: CallPiece, call: GrowingCall) -> bool:
    """Return whether a piece is all of a call again, which some servers end with."""
    if not piece.text or not call.has(piece.text):
        return False
    is_other = not call.call_id or piece.call_id not in {"", call.call_id}
    return not (piece.name and is_other) and call.is_complete()


def _begins(piece: CallPiece, call: GrowingCall, *, is_next: bool) -> bool:
    """
    Return whether a piece begins a call, although it may be more of `call`.

    Some servers number all calls alike, or not at all; some repeat the name in each
    piece, or invent an id for each. All say a call's name in its first piece.
    """
    is_other = bool(piece.call_id and call.call_id and piece.call_id != call.call_id)
    if not piece.name:
        return is_other and piece.number is None and call.is_complete()
    if is_other or is_next:
        return True
    if not (call.name and call.length):
        return False
    has_text = bool(piece.text) and not piece.text.isspace()
    return piece.name != call.name or (has_text and call.is_complete())
