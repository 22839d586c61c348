"""Refusing bodies that say themselves that they are too large."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from llamakeep.api.problems import body_too_large, render_error


class AnnouncedBodyLimit:
    """
    Answers a 413 problem before anything of a too large body is read.

    FastAPI's own limit counts bodies that come without a length; its answer to those
    that have one cannot be rendered as a problem.
    """

    def __init__(self, app: ASGIApp, *, max_body_size: int) -> None:
        self._app = app
        self._max_body_size = max_body_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small enough."""
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"content-length" and int(value) > self._max_body_size:
                    request = Request(scope)
                    response = await render_error(request, body_too_large(request))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)
