"""Middleware that limits the size of request bodies."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.api.http.problems import render_http_error


class BodyLimit:
    """
    Responds with 413 to bodies that are too large.

    It does so before reading the body if there is a `Content-Length`, else while
    reading it. FastAPI's own limit responds in plain text, which cannot be changed.
    Paths in `exempt` have limits of their own.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_size: int, exempt: Collection[str] = ()
    ) -> None:
        self._app = app
        self._max_body_size = max_body_size
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward requests within the limit."""
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
    # The only kind of error that FastAPI lets through while it reads a body.
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
