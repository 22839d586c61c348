"""Middleware that limits the size of request bodies."""

from collections.abc import Awaitable, Collection
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.api.http.problems import render_http_error
from llamakeep.domain.images import MOST_IMAGES

LARGE = "large_body"
"""
In the scope of a request whose body is larger than others may be, as it has images.

Such a body has a `Content-Length`, which is the value.
"""


class BodyLimit:
    """
    Responds with 413 to bodies that are too large.

    It does so before reading the body if there is a `Content-Length`, else while
    reading it. FastAPI's own limit responds in plain text, which cannot be changed.
    Paths in `exempt` have limits of their own. To those in `with_images`, a body may
    have `max_images_size` more bytes, in base64; that these are images is checked where
    it is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_size: int,
        exempt: Collection[str] = (),
        with_images: Collection[str] = (),
        max_images_size: int = 0,
    ) -> None:
        self._app = app
        self._max_body_size = max_body_size
        self._exempt = frozenset(exempt)
        self._with_images = frozenset(with_images)
        self._max_large_size = max_body_size + base64_size(max_images_size)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Forward requests within the limit."""
        if scope["type"] != "http" or scope["path"] in self._exempt:
            return self._app(scope, receive, send)
        limit = self._max_body_size
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > limit:
                if scope["path"] in self._with_images:
                    limit = self._max_large_size
                    scope[LARGE] = int(value)
                if int(value) > limit:
                    return _refuse(scope, receive, send)
        size = 0

        async def receive_within_limit() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise too_large()
            return message

        return self._app(scope, receive_within_limit, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    response = await render_http_error(Request(scope), too_large())
    await response(scope, receive, send)


def base64_size(size: int) -> int:
    """Return how many characters so many bytes have as base64, at most."""
    return size // 3 * 4 + 4 * MOST_IMAGES if size else 0


def too_large() -> HTTPException:
    """Return the error of a body that is too large."""
    # The only kind of error that FastAPI lets through while it reads a body.
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
