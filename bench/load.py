"""Clients that each send one request after the other over one connection."""

import asyncio
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import cast


@dataclass(frozen=True, slots=True)
class Target:
    """A request, and who is asked."""

    port: int
    path: str
    body: Mapping[str, object] | None = None
    """What is posted, as JSON; without it the request is a GET."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, **more: str) -> bytes:
        """Return it as it is sent."""
        sent = b"" if self.body is None else json.dumps(self.body).encode()
        headers = {"host": "127.0.0.1", **self.headers, **more}
        if sent:
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(sent))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        method = "POST" if sent else "GET"
        return f"{method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + sent


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
        return percentile(self.latencies, share)


def percentile(latencies: list[float], share: float) -> float:
    """Return what this share of sorted seconds does not exceed, in milliseconds."""
    if not latencies:
        return math.nan
    return latencies[min(len(latencies) - 1, int(share * len(latencies)))] * 1000


class _Client(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self.requests = requests
        self.until = until
        self.latencies: list[float] = []
        self.failures = 0
        self.is_through = False
        self.buffer = b""
        self.sent = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(next(self.requests))

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
            self.is_through = True
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failures += exc is not None or not self.is_through
        if not self.done.done():
            self.done.set_result(None)


async def load(*targets: Target, clients: int, seconds: float) -> Load:
    """Let `clients` send the targets' requests, in turns, for `seconds`."""
    requests = cycle([target.request() for target in targets])
    port = targets[0].port
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        (
            await loop.create_connection(
                lambda: _Client(requests, began + seconds), "127.0.0.1", port
            )
        )[1]
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for client in made))
    took = time.perf_counter() - began
    latencies = sorted(second for client in made for second in client.latencies)
    failures = sum(client.failures for client in made)
    return Load(len(latencies), took, latencies, failures)
