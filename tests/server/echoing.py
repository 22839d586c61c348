"""A server that says what it was asked, and clients that write bytes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from llamakeep.server.connections import BoundedProtocol, Bounds, close_overdue
from tests.waiting import LONG_ENOUGH

BOUNDS = Bounds(header_size=65536, header_timeout=10, body_timeout=10, write_timeout=10)


class Answer(NamedTuple):
    """One answer, as it was sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def echo(self) -> dict[str, Any]:
        """What the application was asked."""
        found: dict[str, Any] = json.loads(self.body)
        return found


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request; at /stream, in pieces; at /early, before its body."""
    body, path = b"", scope["path"]
    while path != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    facts = {
        "method": scope["method"],
        "path": path,
        "headers": [(n.decode(), v.decode("latin-1")) for n, v in scope["headers"]],
        "body": body.decode(),
    }
    said = json.dumps(facts).encode()
    is_stream = path == "/stream"
    length = [] if is_stream else [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    if is_stream:
        half = len(said) // 2
        await send(
            {"type": "http.response.body", "body": said[:half], "more_body": True}
        )
        said = said[half:]
    await send({"type": "http.response.body", "body": said})


class Echoing:
    """The running server."""

    def __init__(self, port: int, state: ServerState) -> None:
        self.port = port
        self.state = state

    async def say(self, *pieces: bytes, pause: float = 0) -> bytes:
        """Write these pieces, and return all that is answered until the server ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause)
            return await asyncio.wait_for(reader.read(), LONG_ENOUGH)
        finally:
            writer.transport.abort()

    async def ask(self, request: bytes, *, in_bytes: bool = False) -> list[Answer]:
        """Send requests, the last of which ends the connection; read the answers."""
        pieces = [request[n : n + 1] for n in range(len(request))]
        return parsed(await self.say(*(pieces if in_bytes else [request])))

    def expire(self, now: float) -> None:
        """Let it be so late that deadlines before `now` are over."""
        close_overdue(self.state.connections, now)


def parsed(said: bytes) -> list[Answer]:
    """Return the answers in `said`; one without a length has all the rest."""
    answers = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = [(n, v) for n, _, v in (line.partition(": ") for line in lines)]
        known = dict(headers)
        if known.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, said = said.partition(b"\r\n")
                length = int(size, 16)
                body, said = body + said[:length], said[length + 2 :]
                if not length:
                    break
        else:
            length = int(known.get("content-length", len(said)))
            body, said = said[:length], said[length:]
        answers.append(Answer(int(first.split()[1]), headers, body))
    return answers


@asynccontextmanager
async def echoing(app: Any = echo, bounds: Bounds = BOUNDS) -> AsyncIterator[Echoing]:
    """Serve `app` as `llamakeep serve` does."""
    config = uvicorn.Config(app, log_config=None, ws="none", proxy_headers=False)
    config.load()
    state = ServerState()
    new = partial(
        BoundedProtocol, bounds, config=config, app_state={}, server_state=state
    )
    server = await asyncio.get_running_loop().create_server(new, "127.0.0.1", 0)
    async with server:
        yield Echoing(server.sockets[0].getsockname()[1], state)
        for connection in tuple(state.connections):
            connection.transport.abort()
