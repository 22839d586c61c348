"""Server-sent events, from the bytes of a response to its events."""

from collections.abc import Callable
from typing import NamedTuple

MAX_EVENT_SIZE = 1024 * 1024
"""How many bytes one event may have; an endless one must not fill the memory."""

_MAX_LINES = 64 * 1024
"""Bytes up to which lines are taken for an event that no blank line has ended."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event; `data` stays as bytes because a JSON parser wants those."""

    name: str
    data: bytes
    id: str


class EventTooLarge(ValueError):
    """An event is larger than `MAX_EVENT_SIZE`."""


class EventParser:
    """
    Turns bytes, cut anywhere, into events, as the HTML standard says.

    What follows the last empty line is no event: a stream that was cut off must not end
    with half of one.
    """

    def __init__(self) -> None:
        self._rest = b""
        """What came after the last blank line, but for `_more`."""
        self._more: list[bytes] = []
        self._more_size = 0
        self._is_at_start = True
        self._follows_return = False
        self._id = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """
        Return the events that end within `data`.

        Raises:
            EventTooLarge: The parser is of no use any more.
        """
        parsed = map(self.parsed, self.blocks(data))
        return [event for event in parsed if event is not None]

    def blocks(self, data: bytes) -> list[bytes]:
        """
        Return what stands between the empty lines that end within `data`.

        Raises:
            EventTooLarge: The parser is of no use any more.
        """
        if self._follows_return and data:
            data = data.removeprefix(b"\n")
            self._follows_return = False
        if b"\r" in data:
            self._follows_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not data:
            return []
        if self._rest and not self._ends_event(data):
            # Joined later: an event that comes in many pieces is not copied for each.
            self._more.append(data)
            self._more_size += len(data)
            if len(self._rest) + self._more_size > MAX_EVENT_SIZE:
                raise EventTooLarge
            return []
        if self._rest:
            data = self.end() + data
        blocks = data.split(b"\n\n")
        self._rest = blocks.pop()
        if self._is_at_start and blocks:
            blocks[0] = blocks[0].removeprefix(_BYTE_ORDER_MARK)
            self._is_at_start = False
        if len(self._rest) > MAX_EVENT_SIZE or (
            len(data) > MAX_EVENT_SIZE and max(map(len, blocks)) > MAX_EVENT_SIZE
        ):
            raise EventTooLarge
        return blocks

    @property
    def has_rest(self) -> bool:
        """Whether something came after the last blank line."""
        return bool(self._rest)

    def end(self) -> bytes:
        """Return, and forget, what came after the last blank line."""
        rest = b"".join([self._rest, *self._more]) if self._more else self._rest
        self._rest = b""
        self._more = []
        self._more_size = 0
        return rest

    def take_lines(self, is_last: Callable[[bytes], bool]) -> bytes:
        """
        Return, and forget, the lines after the last blank line, if `is_last` of one.

        For servers that send no blank lines.
        """
        if b"\n" not in self._rest and not any(b"\n" in each for each in self._more):
            return b""
        if self._more_size + len(self._rest) > _MAX_LINES:
            return b""
        self._rest = rest = self.end()
        lines, _, after = rest.rpartition(b"\n")
        if not is_last(lines[lines.rfind(b"\n") + 1 :]):
            return b""
        self._rest = after
        return lines

    def _ends_event(self, data: bytes) -> bool:
        before = self._more[-1] if self._more else self._rest
        return b"\n\n" in data or (data[:1] == b"\n" and before.endswith(b"\n"))

    def parsed(self, block: bytes) -> ServerSentEvent | None:
        """Return the event that a block is, if it has data."""
        if block.startswith(b"data: ") and b"\n" not in block:  # as nearly all do
            return ServerSentEvent("message", block[6:], self._id)
        name = "message"
        data: list[bytes] = []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value.decode(errors="replace") or "message"
            elif field == b"id" and b"\0" not in value:
                self._id = value.decode(errors="replace")
        return ServerSentEvent(name, b"\n".join(data), self._id) if data else None
