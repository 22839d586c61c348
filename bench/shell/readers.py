"""Clients that ask for much and never read it."""

import asyncio
import socket
import time
from collections.abc import Sequence
from itertools import cycle, islice

from bench.shell.clients import End
from bench.shell.server import Server

READERS = 20
LOOKED_AT = 6.0
"""Seconds for which nothing is read."""


async def never_read(server: Server, paths: Sequence[str]) -> list[End]:
    """Ask for `paths` on many connections at once, and read only the statuses."""
    asked = islice(cycle(paths), READERS)
    return await asyncio.gather(*(_one(server, path) for path in asked))


async def _one(server: Server, path: str) -> End:
    began = time.perf_counter()
    with socket.socket() as connection:
        connection.setblocking(False)
        # What the kernel holds is not the server's.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", server.port))
        request = (
            f"GET {path} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {server.access_token}\r\n\r\n"
        ).encode()
        await loop.sock_sendall(connection, request)
        head = await loop.sock_recv(connection, 16)
        seconds = time.perf_counter() - began
        await asyncio.sleep(LOOKED_AT)
    status = int(head.split()[1]) if head.startswith(b"HTTP/") else None
    return End(seconds, status, len(request))
