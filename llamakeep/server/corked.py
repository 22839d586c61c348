"""A transport that combines the writes of one event loop iteration."""

import asyncio
from typing import Any

MOST_HELD = 64 * 1024
"""How many bytes are buffered at most."""


class Corked:
    """
    Buffers writes until the event loop's next iteration.

    A response's head and body are two writes, and so are simultaneous events of a
    stream. Each would be a system call and a packet: the two of a short response took a
    fifth of the server's CPU time (measured).
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

    def is_closing(self) -> bool:
        """Return whether it is; uvicorn asks that after each response."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Buffer `data`."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD:
            self.flush()

    def close(self) -> None:
        """Flush, and close the transport when all is sent."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Discard the buffer, and abort the transport."""
        self._held.clear()
        self._transport.abort()

    def flush(self) -> None:
        """Write the buffer to the transport."""
        if not self._held:
            return
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        if not self._transport.is_closing():  # else uvloop logs a warning
            self._transport.write(data)
