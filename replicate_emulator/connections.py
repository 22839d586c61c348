"""
Cutting a client's connection, which ASGI has no message for.

An application that returns, or raises, without having answered makes the server send a
500, and a server that stops in the middle of an answer still closes politely. A lost
answer is neither. So the protocol below puts the transport into the scope of each
request, and `cut` aborts it. The alternative, a proxy of our own in front of the
server, would delay every delta.
"""

import asyncio
import socket
import struct

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_EXTENSION = "llamakeep.transport"
_CLOSE_WITH_RESET = struct.pack("ii", 1, 0)


class CuttableProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, whose connections can be cut by the application."""

    def on_message_begin(self) -> None:
        """Add the transport to the scope that was just made."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


async def cut(scope: Scope, receive: Receive, *, with_reset: bool) -> None:
    """
    Cut the connection of a request, and return when it is gone.

    Args:
        scope: The request's.
        receive: The request's.
        with_reset: Whether the client sees a reset; otherwise it sees the end.
    """
    transport: asyncio.Transport = scope["extensions"][_EXTENSION]["transport"]
    if with_reset:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


class LostResponse(Response):
    """An answer that the client never gets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection instead of answering."""
        del send
        await cut(scope, receive, with_reset=False)
