"""A server in this process, and a network that can be cut."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from fastapi import FastAPI

from llamakeep.app import create_app
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User
from llamakeep.providers.base import Provider
from llamakeep.server import serve
from llamakeep.settings import Settings
from llamakeep.storage import Storage


class Served:
    """A running server."""

    def __init__(self, app: FastAPI, url: str, metrics_url: str) -> None:
        self.url = url
        self.metrics_url = metrics_url
        self.storage: Storage = app.state.services.storage

    async def new_access_token(self, username: str) -> str:
        """Return an access token of a new user."""
        user = await self.storage.add_user(username, None)
        value = new_access_token()
        await self.storage.add_access_token(
            user, digest(value), lifetime=timedelta(hours=1)
        )
        return value

    async def user(self, username: str) -> User:
        known = await self.storage.find_credentials(username)
        assert known is not None
        return known.user


@asynccontextmanager
async def served(settings: Settings, provider: Provider) -> AsyncIterator[Served]:
    """
    Serve until the end of the block, then stop like a process that is told to.

    There is always a port of its own for metrics.
    """
    app = create_app(settings, providers=[provider])
    ready = asyncio.Event()

    async def when_ready(_: FastAPI) -> None:
        ready.set()

    # Whoever runs the tests must not be told to stop, should the server not listen.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    address = "127.0.0.1", 0
    with (
        socket.create_server(address) as listener,
        socket.create_server(address) as metrics,
    ):
        urls = [
            f"http://127.0.0.1:{each.getsockname()[1]}" for each in (listener, metrics)
        ]
        serving = asyncio.create_task(
            serve(app, listener, metrics, when_ready=when_ready)
        )
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        try:
            yield Served(app, *urls)
        finally:
            if not serving.done():
                signal.raise_signal(signal.SIGTERM)
            await serving
            signal.signal(signal.SIGTERM, before)


class Network:
    """What lies between a client and a server."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.connections = 0
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections that there are."""
        for writer in self._open:
            writer.transport.abort()

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, to_server}
        try:
            with suppress(ConnectionError):
                await asyncio.gather(
                    _copy(reader, to_server), _copy(from_server, writer)
                )
        finally:
            for end in (writer, to_server):
                end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def network(url: str) -> AsyncIterator[Network]:
    """Lend another address for `url`, behind something that can be cut."""
    between = Network(int(url.rpartition(":")[2]))
    carried: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.add(asyncio.create_task(between.carry(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    between.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield between
    finally:
        server.close()
        between.cut()
        await asyncio.gather(*carried, return_exceptions=True)
