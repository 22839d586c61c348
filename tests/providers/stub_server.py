"""A real server on loopback that says any bytes, at any pace, and hears everything."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Then(Enum):
    """What may follow the bytes of a script."""

    HANG = "say nothing more until the client is gone"
    RESET = "break the connection"
    CLOSE = "close the connection"


Line = bytes | float | asyncio.Event | Then


@dataclass(frozen=True)
class Heard:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class StubServer:
    """
    Plays `script` for every request; an `Event` in it is waited for, so are seconds.

    The connection is kept alive after a script that ends with bytes.
    """

    script: Sequence[Line] = ()
    script_of_get: Sequence[Line] | None = None
    """What a GET is answered with, if it is something else."""
    base_url: str = ""
    scripts: list[Sequence[Line]] = field(default_factory=list)
    """What the first requests are answered with, one after the other."""
    script_of_path: dict[str, Sequence[Line]] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    open_now: int = 0
    clients_gone: int = 0
    """How many clients left while they were being answered."""

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        self.open_now += 1
        try:
            while heard := await hear(reader):
                self.heard.append(heard)
                script = self.scripts.pop(0) if self.scripts else self.script
                if heard.method == "GET" and self.script_of_get is not None:
                    script = self.script_of_get
                script = self.script_of_path.get(heard.path, script)
                for line in script:
                    if not await self._play(line, reader, writer):
                        return
        except ConnectionError:
            self.clients_gone += 1
        finally:
            self.open_now -= 1
            writer.close()

    async def _play(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if isinstance(line, bytes):
            writer.write(line)
            await writer.drain()
            return True
        if isinstance(line, float):
            await asyncio.sleep(line)
            return True
        if line is Then.RESET:
            writer.transport.abort()
        elif line is Then.HANG or isinstance(line, asyncio.Event):
            while not reader.at_eof():
                if isinstance(line, asyncio.Event) and line.is_set():
                    return True
                await asyncio.sleep(0.002)
            self.clients_gone += 1
        return False


@asynccontextmanager
async def running_stub(
    *script: Line, tls: ssl.SSLContext | None = None
) -> AsyncIterator[StubServer]:
    stub = StubServer(script)
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(stub.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    stub.port = server.sockets[0].getsockname()[1]
    stub.base_url = f"http{'s' if tls else ''}://127.0.0.1:{stub.port}/v1"
    try:
        yield stub
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def head(status: int = 200, content_type: str = "text/event-stream") -> bytes:
    """The start of a response whose body comes in pieces (`piece`, `END`)."""
    return (
        f"HTTP/1.1 {status} -\r\ncontent-type: {content_type}\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    ).encode()


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"
DONE = piece(b"data: [DONE]\n\n")


def event(value: Any) -> bytes:
    return piece(b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n")


def delta(text: str | None, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return event({"model": "parrot-2025", "choices": [choice]})


STOP = delta(None, "stop")


def usage(input_tokens: int, output_tokens: int) -> bytes:
    counts = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return event({"model": "parrot-2025", "choices": [], "usage": counts})


def whole(status: int, body: Any, **headers: str) -> bytes:
    """A response in one piece; a body that is not `bytes` is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    start = f"HTTP/1.1 {status} -\r\n{fields}content-length: {len(data)}\r\n\r\n"
    return start.encode() + data


async def hear(reader: asyncio.StreamReader) -> Heard | None:
    try:
        start = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = start.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(method, path, headers, body)
