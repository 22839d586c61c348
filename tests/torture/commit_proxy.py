"""
Between servers and PostgreSQL: it loses some COMMITs, or the answers to them.

It reads as much of PostgreSQL's protocol as it takes to know a COMMIT, and the Sync
that commits what was executed outside of a transaction:
https://www.postgresql.org/docs/current/protocol-message-formats.html.
"""

import asyncio
import random
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

Fate = Literal["not sent", "sent", "committed"]
"""
What has become of a COMMIT when its connection breaks: PostgreSQL has not got it; it
has got it; it has done it, and said so.
"""
FATES: tuple[Fate, ...] = ("not sent", "sent", "committed")

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_QUERY, _PARSE, _BIND, _SYNC, _READY = b"Q", b"P", b"B", b"S", b"Z"
_IDLE = b"I"


class CommitProxy:
    """
    Passes everything on but some COMMITs.

    Args:
        server_url: The database behind it.
        chance: What decides which.
        every: About one in so many is lost, while any are to be.
    """

    def __init__(self, server_url: str, chance: random.Random, *, every: int) -> None:
        self._target = urlsplit(server_url)
        self._chance = chance
        self._every = every
        self.left = 0
        """How many are still to be lost."""
        self.lost: Counter[Fate] = Counter()
        self.port = 0
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The database, as who is behind the proxy has to name it."""
        user = f"{self._target.username}@" if self._target.username else ""
        address = f"{user}127.0.0.1:{self.port}"
        return self._target._replace(netloc=address).geturl()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        assert self._target.hostname is not None
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(
                self._target.hostname, self._target.port
            )
            connection = _Connection(self, reader, writer, answers, upstream)
            await connection.pass_on()
        except (OSError, asyncio.IncompleteReadError):
            pass  # one end is gone, and so is the other now
        finally:
            writer.transport.abort()
            if upstream is not None:
                upstream.transport.abort()
            self._connections.discard(task)

    def fate(self) -> Fate | None:
        """Return how a COMMIT is to be lost, if it is."""
        if self.left == 0 or self._chance.randrange(self._every):
            return None
        self.left -= 1
        fate = self._chance.choice(FATES)
        self.lost[fate] += 1
        return fate

    async def close(self) -> None:
        """End all connections."""
        connections = [*self._connections]
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


class _Connection:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: CommitProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._answers = answers
        self._upstream = upstream
        self._loses_next_answer = False
        self._is_in_transaction = False
        self._writing: set[bytes] = set()
        """The prepared statements that write, by their names."""
        self._has_written = False
        """Whether such a statement was bound since the last Sync."""

    async def pass_on(self) -> None:
        """Pass everything on until one end closes, or a COMMIT is lost."""
        await self._begin()
        ways = [
            asyncio.create_task(self._requests()),
            asyncio.create_task(self._responses()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _begin(self) -> None:
        """Pass on what has no type: the first messages of a client."""
        code = _SSL_REQUEST
        while code in {_SSL_REQUEST, _GSS_REQUEST}:
            size = await self._reader.readexactly(4)
            body = await self._reader.readexactly(struct.unpack("!I", size)[0] - 4)
            self._upstream.write(size + body)
            code = struct.unpack("!I", body[:4])[0]
            if code in {_SSL_REQUEST, _GSS_REQUEST}:
                answer = await self._answers.readexactly(1)
                assert answer == b"N", "what is encrypted cannot be read"
                self._writer.write(answer)

    async def _requests(self) -> None:
        while True:
            kind, message = await _message(self._reader)
            fate = self._proxy.fate() if self._commits(kind, message) else None
            if fate == "not sent":
                return
            if fate == "committed":
                self._loses_next_answer = True
            self._upstream.write(message)
            await self._upstream.drain()
            if fate == "sent":
                # It has to leave before the connection is cut: with a FIN, not a RST.
                self._upstream.close()
                return

    def _commits(self, kind: bytes, message: bytes) -> bool:
        """Return whether PostgreSQL commits when it gets this message."""
        if kind == _PARSE:
            name, _, query = message[5:].partition(b"\0")
            if b"INSERT INTO " in query or b"UPDATE " in query:
                self._writing.add(name)
        elif kind == _BIND:
            _, _, rest = message[5:].partition(b"\0")
            self._has_written |= rest.partition(b"\0")[0] in self._writing
        elif kind == _SYNC:
            has_written, self._has_written = self._has_written, False
            return has_written and not self._is_in_transaction
        return _is_commit(kind, message)

    async def _responses(self) -> None:
        while True:
            kind, message = await _message(self._answers)
            if kind == _READY:
                if self._loses_next_answer:
                    return
                self._is_in_transaction = message[-1:] != _IDLE
            self._writer.write(message)
            await self._writer.drain()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return a message's type, and all of it."""
    head = await reader.readexactly(5)
    body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
    return head[:1], head + body


def _is_commit(kind: bytes, message: bytes) -> bool:
    if kind == _QUERY:
        query = message[5:]
    elif kind == _PARSE:
        _, _, query = message[5:].partition(b"\0")
    else:
        return False
    text, _, _ = query.partition(b"\0")
    return text.strip().rstrip(b";").upper() == b"COMMIT"


@asynccontextmanager
async def commit_proxy(
    server_url: str, chance: random.Random, *, every: int = 10
) -> AsyncIterator[CommitProxy]:
    """Run a proxy before a database; it loses nothing yet."""
    proxy = CommitProxy(server_url, chance, every=every)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
