"""Refusing bodies that are too large, with the same problem however they come."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.api.http.problems import render_http_error


class BodyLimit:
    """
    Answers 413 before reading a body that says how large it is, else while reading it.

    FastAPI's own limit answers the former in plain text, which cannot be changed.

    Args:
        app: What gets the requests that are small enough.
        max_body_size: The largest body, in bytes.
        exempt: Paths that have a limit of their own.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_size: int, exempt: Collection[str] = ()
    ) -> None:
        self._app = app
        self._max_body_size = max_body_size
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small enough."""
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._max_body_size:
                response = await render_http_error(Request(scope), _too_large())
                await response(scope, receive, send)
                return
        size = 0

        async def receive_within_limit() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body_size:
                raise _too_large()
            return message

        await self._app(scope, receive_within_limit, send)


def _too_large() -> HTTPException:
    """Return what FastAPI passes on from within the reading of a body."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
