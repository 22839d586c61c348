"""Connections as clients find them."""

import asyncio
from functools import partial

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from llamakeep.server.connections import BoundedProtocol, Bounds

BOUNDS = Bounds(header_size=65536, header_timeout=10, body_timeout=10, write_timeout=10)


async def at_once(_: Scope, __: Receive, send: Send) -> None:
    head = {"type": "http.response.start", "status": 200, "headers": []}
    await send(head)
    await send({"type": "http.response.body", "body": b"Hello"})


async def test_who_has_said_all_and_says_so_is_answered() -> None:
    config = uvicorn.Config(at_once, log_config=None)
    config.load()
    new = partial(BoundedProtocol, BOUNDS, config=config, app_state={})
    server = await asyncio.get_running_loop().create_server(
        lambda: new(server_state=ServerState()), "127.0.0.1", 0
    )
    async with server:
        _, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert b"Hello" in answer
