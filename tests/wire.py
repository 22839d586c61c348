"""What clients send to PostgreSQL, counted on its way there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

ASKS = frozenset(b"QS")
"""Messages that the server answers by itself: a query of its own, and Sync."""
BEFORE_THE_FIRST = frozenset({80877103, 80877104})
"""Messages that ask for encryption."""
PIECE = 1 << 16


@dataclass
class Wire:
    """A proxy in front of PostgreSQL."""

    url: str = ""
    """The database, as who is behind the proxy has to name it."""
    round_trips: int = 0


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[Wire]:
    """Pass on what is sent to a database, and count what it is asked."""
    target, wire = urlsplit(url), Wire()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, upstream = await asyncio.open_connection(target.hostname, target.port)
        back = asyncio.create_task(_pass_on(answers, writer))
        with suppress(OSError, asyncio.IncompleteReadError):
            is_begun = False
            while not is_begun:  # these messages have no type
                head = await reader.readexactly(8)
                is_begun = int.from_bytes(head[4:]) not in BEFORE_THE_FIRST
                rest = await reader.readexactly(int.from_bytes(head[:4]) - 8)
                upstream.write(head + rest)
            while True:
                head = await reader.readexactly(5)
                wire.round_trips += head[0] in ASKS
                rest = await reader.readexactly(int.from_bytes(head[1:]) - 4)
                upstream.write(head + rest)
        upstream.close()
        await back

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire.url = target._replace(netloc=f"{target.username}@127.0.0.1:{port}").geturl()
    try:
        yield wire
    finally:
        server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
    writer.close()
