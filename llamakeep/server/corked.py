"""A transport that sends in one piece what is written in one turn of the event loop."""

import asyncio
from typing import Any

MOST_HELD = 64 * 1024
"""Bytes that wait for the end of the turn at most."""


class Corked:
    """
    Holds back what is written until the event loop's next turn.

    A response's head and body are two writes, and so are the events of a stream that
    came at once. Each would be a packet of its own that wakes the client up: the two of
    a short answer took a fifth of the server's CPU time (measured).

    Args:
        transport: What sends; everything but writing is its own.
        loop: Its event loop.
    """

    __slots__ = ("_held", "_loop", "_size", "_transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data` soon."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD:
            self.flush()

    def close(self) -> None:
        """Hang up when all is sent."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._held.clear()
        self._transport.abort()

    def flush(self) -> None:
        """Send what is held now."""
        if not self._held:
            return
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        if not self._transport.is_closing():  # else uvloop would complain about it
            self._transport.write(data)
