"""What lies between a node and a server, such as PostgreSQL, for tests to break it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

Direction = Literal["sent", "received"]
"""As the node sees it."""


class Gate:
    """What lies between a node and its server, and can be shut, or cut a connection."""

    def __init__(self, url: str) -> None:
        self._server_url = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: dict[Direction, int] = {}
        self.port = 0

    def cut(self, direction: Direction, after: int) -> None:
        """Cut a connection once so many bytes have passed from now on."""
        self._left = {direction: after}

    @property
    def is_cut(self) -> bool:
        """Whether that has happened."""
        return not self._left

    @property
    def url(self) -> str:
        """The URL of the database behind it."""
        netloc = f"postgres@127.0.0.1:{self.port}"
        return self._server_url._replace(netloc=netloc).geturl()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        theirs, ours = await asyncio.open_connection(
            self._server_url.hostname, self._server_url.port
        )
        self._open |= {writer, ours}
        both: tuple[tuple[Direction, asyncio.StreamReader, asyncio.StreamWriter], ...]
        both = ("sent", reader, ours), ("received", theirs, writer)
        for direction, source, target in both:
            task = asyncio.create_task(self._pass_on(direction, source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self,
        direction: Direction,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
    ) -> None:
        try:
            while data := await source.read(65536):
                left = self._left.get(direction)
                if left is not None and len(data) >= left:
                    self._left = {}
                    target.write(data[:left])
                    break
                if left is not None:
                    self._left[direction] = left - len(data)
                target.write(data)
        except OSError:
            pass
        finally:
            target.close()
            self._open.discard(target)


@asynccontextmanager
async def open_gate(url: str) -> AsyncIterator[Gate]:
    """Open a gate before a server, and shut it at the end."""
    gate = Gate(url)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.shut()
