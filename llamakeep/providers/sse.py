"""Server-sent events, from the bytes of a response to its events."""

from typing import NamedTuple

MAX_EVENT_SIZE = 1024 * 1024
"""How many bytes one event may have; an endless one must not fill the memory."""

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
        self._line = b""
        self._is_first_line = True
        self._follows_return = False
        self._name = "message"
        self._data: list[bytes] = []
        self._data_size = 0
        self._id = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """
        Return the events that end within `data`.

        Raises:
            EventTooLarge: The parser is of no use any more.
        """
        if self._follows_return and data:
            data = data.removeprefix(b"\n")
            self._follows_return = False
        if b"\r" in data:
            self._follows_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._line = (self._line + data).split(b"\n")
        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                events.append(self._event())
            else:
                self._name = "message"
                self._is_first_line = False
        if self._data_size + len(self._line) > MAX_EVENT_SIZE:
            raise EventTooLarge
        return events

    def _take(self, line: bytes) -> None:
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > MAX_EVENT_SIZE:
                raise EventTooLarge
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")

    def _event(self) -> ServerSentEvent:
        event = ServerSentEvent(
            self._name or "message", b"\n".join(self._data), self._id
        )
        self._name = "message"
        self._data.clear()
        self._data_size = 0
        return event
