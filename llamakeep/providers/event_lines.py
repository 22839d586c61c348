"""What stands between two empty lines of a stream, where servers are careless."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from llamakeep.providers.json_text import read_event_json

_BLANK = b"\xef\xbb\xbf \t"
_NO_EVENTS = {b"id", b"retry", b""}


@dataclass(slots=True)
class EventLines:
    """The events of a block, which are several where no empty lines part them."""

    events: Sequence[tuple[bytes, bytes]] = ()
    """The name and the data of each."""
    is_event: bool = False
    """Whether a line has the form of an event's, or of a comment."""
    stray: bytes = b""
    """A line that has not."""
    _found: list[tuple[bytes, bytes]] = field(default_factory=list)
    _name: bytes = b""

    @classmethod
    def read(cls, block: bytes) -> Self:
        """Read the lines of a block."""
        lines = cls()
        for line in block.split(b"\n"):
            lines._take(line)
        found = lines._found
        if len(found) == 1:
            # The name may come after the data.
            found = [(lines._name, found[0][1])]
        elif found:
            joined = b"\n".join(data for _, data in found)
            if is_whole_event(joined) or not any(is_whole_event(d) for _, d in found):
                found = [(lines._name, joined)]
        lines.events = found
        lines.is_event = lines.is_event or bool(found)
        return lines

    def _take(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        name = name.strip(_BLANK).lower()
        if name == b"data":
            self._found.append((self._name, value.removeprefix(b" ")))
        elif name == b"event":
            self._name = value.strip().lower()
        elif name == b"error" and colon:
            self._name = b"error"
            self._found.append((self._name, value.strip()))
        elif line[:1] in (b"{", b"["):
            self._found.append((self._name, line))
        elif name not in _NO_EVENTS:
            self.stray = self.stray or line
        elif line:
            self.is_event = True


def is_whole_event(data: bytes) -> bool:
    """Return whether a line has all of an event's data."""
    data = data.strip()
    if data.strip(b'"').upper() == b"[DONE]":
        return True
    if data[:1] not in (b"{", b"["):
        return False
    try:
        read_event_json(data)
    except ValueError:
        return False
    return True


def surely_ends_event(line: bytes) -> bool:
    """Return whether an event ends with a line, whatever follows it."""
    name, _, data = line.partition(b":")
    if name != b"data":
        return False
    data = data.strip()
    is_choice = data.endswith(b"}") and b'"choices"' in data
    return (is_choice or data == b"[DONE]") and is_whole_event(data)
