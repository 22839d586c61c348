"""A client that writes what it likes, one that behaves, and an eye on the memory."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bench.shell.server import Server

LONG_ENOUGH = 60
"""Seconds after which a connection counts as never closed."""


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended."""

    seconds: float
    """Since it was opened."""
    status: int | None
    """What was answered, if anything."""
    sent: int
    """Bytes that were written before."""


@dataclass(slots=True)
class Watch:
    """What was noticed elsewhere while something went on."""

    before: int
    memory: int = 0
    """The most bytes that the server had."""
    latencies: list[float] = field(default_factory=list)
    """Seconds that a client waited who behaves."""

    @property
    def more_memory(self) -> float:
        """Megabytes that came on top."""
        return (self.memory - self.before) / 1024 / 1024

    @property
    def p99(self) -> float:
        """Milliseconds that 99 of 100 requests did not exceed."""
        waited = sorted(self.latencies)
        return waited[int(len(waited) * 0.99)] * 1000 if waited else 0.0


@asynccontextmanager
async def watching(server: Server) -> AsyncIterator[Watch]:
    """Let another process ask for the history, and look at the memory."""
    watch = Watch(server.memory(), server.memory())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.shell.asking"),
        *(str(server.port), server.others_token),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    weighing = asyncio.create_task(_weigh(server, watch))
    try:
        yield watch
    finally:
        weighing.cancel()
        assert process.stdin is not None
        process.stdin.close()
        printed, _ = await process.communicate()
        watch.latencies = [float(line) for line in printed.split()]


async def _weigh(server: Server, watch: Watch) -> None:
    while True:
        watch.memory = max(watch.memory, server.memory())
        await asyncio.sleep(0.005)


async def send(
    server: Server,
    pieces: Iterable[bytes],
    *,
    pause: float = 0,
    address: str = "127.0.0.1",
) -> End:
    """
    Write `pieces` until they are over or the server hangs up; wait for that.

    Args:
        server: To whom.
        pieces: What to write.
        pause: Seconds to wait after each piece.
        address: Where to come from, on this machine.
    """
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, local_addr=(address, 0)
    )
    answer = asyncio.create_task(_read(reader))
    sent = 0
    with suppress(ConnectionError):
        for piece in pieces:
            if answer.done():
                break
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            if pause:
                await asyncio.wait([answer], timeout=pause)
    async with asyncio.timeout(LONG_ENOUGH):
        said = await answer
    writer.transport.abort()
    status = int(said.split()[1]) if said.startswith(b"HTTP/") else None
    return End(time.perf_counter() - began, status, sent)


async def _read(reader: asyncio.StreamReader) -> bytes:
    said = b""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            said += data
    return said
