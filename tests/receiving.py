"""Somebody who receives webhooks, in this process."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.waiting import LONG_ENOUGH


@dataclass
class Received:
    line: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body


@dataclass
class Receiver:
    """
    Answers each request with the next of `answers`, the last one for ever.

    An answer is a status, the bytes of one, or what to wait for before hanging up.
    """

    port: int = 0
    answers: Sequence[int | bytes | asyncio.Event] = (200,)
    received: list[Received] = field(default_factory=list)
    opening: bytes = b""
    """What it says before it waits."""
    open_now: int = 0
    most_open: int = 0
    """How many requests were there at the same time."""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?run=1"

    async def wait_for(self, count: int) -> list[Received]:
        """Return the first `count` webhooks, once they are there."""
        async with asyncio.timeout(LONG_ENOUGH):
            while len(self.received) < count:  # noqa: ASYNC110 - it is a test
                await asyncio.sleep(0.005)
        return self.received[:count]

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.writers.add(writer)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        self.open_now -= 1
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.writers.discard(writer)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(": ") for line in head[1:] if line)
        headers = {name: value for name, _, value in fields}
        raw = await reader.readexactly(int(headers["content-length"]))
        place = min(len(self.received), len(self.answers) - 1)
        self.received.append(Received(head[0], headers, raw))
        answer = self.answers[place]
        if isinstance(answer, asyncio.Event):
            writer.write(self.opening)
            await answer.wait()
            return
        if isinstance(answer, int):
            answer = f"HTTP/1.1 {answer} So\r\ncontent-length: 0\r\n\r\n".encode()
        writer.write(answer)
        await writer.drain()


@asynccontextmanager
async def open_receiver(
    *answers: int | bytes | asyncio.Event,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=answers or (200,))
    server = await asyncio.start_server(
        receiver.serve, "127.0.0.1", port, ssl=tls, reuse_address=True
    )
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for each in receiver.answers:
            if isinstance(each, asyncio.Event):
                each.set()
        await server.wait_closed()
        for writer in receiver.writers:
            writer.transport.abort()
        while receiver.writers:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0)
