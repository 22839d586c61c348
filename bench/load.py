"""Clients that each send the same request again and again over one connection."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast


@dataclass(frozen=True, slots=True)
class Target:
    """A request, and who is asked."""

    port: int
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """What a burst of requests measured."""

    requests: int
    seconds: float
    latencies: list[float]
    """Seconds, sorted."""
    failures: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency, in milliseconds, that this share of requests kept."""
        index = min(len(self.latencies) - 1, int(share * len(self.latencies)))
        return self.latencies[index] * 1000


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, until: float) -> None:
        self.request = request
        self.until = until
        self.latencies: list[float] = []
        self.failures = 0
        self.buffer = b""
        self.sent = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        self.failures += not head.startswith(b"http/1.1 200")
        self.buffer = b""
        if now < self.until:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failures += exc is not None
        if not self.done.done():
            self.done.set_result(None)


async def load(target: Target, *, clients: int, seconds: float) -> Load:
    """Let `clients` send the target's request for `seconds`."""
    head = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
    request = (
        f"POST {target.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(target.body)}\r\n{head}\r\n"
    ).encode() + target.body
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        (
            await loop.create_connection(
                lambda: _Client(request, began + seconds), "127.0.0.1", target.port
            )
        )[1]
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for client in made))
    took = time.perf_counter() - began
    latencies = sorted(second for client in made for second in client.latencies)
    failures = sum(client.failures for client in made)
    return Load(len(latencies), took, latencies, failures)
