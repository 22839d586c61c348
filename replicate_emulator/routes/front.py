"""What stands in front of Replicate's API: a clock, and proxies that break answers."""

import json
from email.utils import format_datetime
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from replicate_emulator.core import Emulator
from replicate_emulator.rules import Garbled

_PAGE = b"<!doctype html><title>Just a moment...</title><p>Checking your browser\n"
_BODIES = {
    "html": _PAGE,
    "empty": b"",
    "list": b"[]",
    "number": b"42",
    "null": b"null",
}
_KEY = "llamakeep.garbled"


def garble(request: Request, garbled: Garbled | None) -> None:
    """Have the answer to `request` garbled, whatever it will be."""
    request.scope[_KEY] = garbled


class Front:
    """Adds `Date`, by the emulator's clock, and garbles what shall be garbled."""

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {}

        async def send_on(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["date"] = format_datetime(
                    self._emulator.clock.now(), usegmt=True
                )
                start = message
                if scope.get(_KEY) is not None:
                    return
            elif message["type"] == "http.response.body" and scope.get(_KEY):
                message["body"] = _garbled(message["body"], scope[_KEY])
                headers = MutableHeaders(scope=start)
                headers["content-length"] = str(len(message["body"]))
                if scope[_KEY] == "html":
                    headers["content-type"] = "text/html"
                await send(start)
            await send(message)

        await self._app(scope, receive, send_on)


def _garbled(body: bytes, how: Garbled) -> bytes:
    match how:
        case "half":
            return body[: len(body) // 2]
        case "other":
            value: Any = json.loads(body)
            return json.dumps(value | {"id": "another"}).encode()
        case _:
            return _BODIES[how]
