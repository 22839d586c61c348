"""Clients that each read one stream, and note when its words come."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from bench.load import Target

MARK = b"word"
END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Streams:
    """What all of them saw; seconds, sorted, of those that came to their end."""

    asked: int
    whole: int
    words: int
    """That each of them has."""
    seconds: float
    """From the first request to the last word."""
    first: list[float]
    """From a request to its first word."""
    last: list[float]
    """From a request to its last word."""

    @property
    def failures(self) -> int:
        return self.asked - self.whole

    @property
    def per_second(self) -> float:
        """Return how many words came each second."""
        return self.whole * self.words / self.seconds if self.whole else math.nan

    def late(self, seconds: float) -> int:
        """Return how many had their last word later than so many seconds."""
        return sum(each > seconds for each in self.last)


class _Reader(asyncio.Protocol):
    """Counting a mark works whatever frames the words."""

    def __init__(self, request: bytes, words: int, begun: Callable[[], None]) -> None:
        self.request = request
        self.words = words
        self.begun = begun
        self.count = 0
        self.head = self.tail = b""
        self.sent = time.perf_counter()
        self.first = self.last = 0.0
        self.is_whole = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if len(self.head) < 15:
            self.head += data[:15]
        if not self.last:
            seen = self.tail + data
            if found := seen.count(MARK):
                self.note(found)
            self.tail = seen[-3:]
        if self.last and data.endswith(END):
            self.is_whole = b" 200" in self.head
            self.transport.close()

    def note(self, found: int) -> None:
        now = time.perf_counter()
        if not self.count:
            self.first = now
            self.begun()
        self.count += found
        # A last event may say all of it once more.
        if self.count >= self.words:
            self.last = now

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        if not self.done.done():
            self.done.set_result(None)


async def read_streams(
    target: Target,
    *,
    streams: int,
    words: int,
    spread: float = 0,
    limit: float = 60,
    when_open: Callable[[], None] | None = None,
) -> Streams:
    """
    Read so many streams at the same time.

    Args:
        target: What asks for a stream.
        streams: How many.
        words: How many words each has.
        spread: The seconds over which they are begun.
        limit: The seconds after which those that go on have failed.
        when_open: Called when each of them has its first word.
    """
    request = target.request(connection="close")
    loop = asyncio.get_running_loop()
    readers: list[_Reader] = []
    left = streams

    def begun() -> None:
        nonlocal left
        left -= 1
        if not left and when_open is not None:
            loop.call_soon(when_open)

    async def read(number: int) -> None:
        await asyncio.sleep(spread * number / streams)
        reader = _Reader(request, words, begun)
        readers.append(reader)
        await loop.create_connection(lambda: reader, "127.0.0.1", target.port)
        try:
            await asyncio.wait_for(reader.done, began + limit - time.perf_counter())
        except TimeoutError:
            reader.transport.abort()

    began = time.perf_counter()
    await asyncio.gather(*(read(number) for number in range(streams)))
    whole = [reader for reader in readers if reader.is_whole]
    return Streams(
        asked=streams,
        whole=len(whole),
        words=words,
        seconds=max((reader.last for reader in whole), default=began) - began,
        first=sorted(reader.first - reader.sent for reader in whole),
        last=sorted(reader.last - reader.sent for reader in whole),
    )
