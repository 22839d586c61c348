"""HEAD and OPTIONS, at every path that has GET."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Message, Receive, Scope, Send

ANY_PATH = "*"


class HeadAndOptions(BaseRoute):
    """
    The last route of an application, so that it costs other requests nothing.

    Args:
        router: Has the other routes.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match HEAD and OPTIONS."""
        if scope["type"] == "http" and scope["method"] in {"HEAD", "OPTIONS"}:
            is_any = scope["method"] == "OPTIONS" and scope["path"] == ANY_PATH
            if is_any or "GET" in self.methods_of(scope):
                return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD as GET without the body, OPTIONS with the methods."""
        if scope["method"] == "HEAD":
            get = {**scope, "method": "GET"}
            try:
                await self._router(get, receive, _without_body(send))
            finally:
                scope["route"] = get.get("route")  # for the access log
            return
        allowed = self.methods_of(scope) or ["GET", "HEAD", "OPTIONS"]
        response = Response(status_code=204, headers={"Allow": ", ".join(allowed)})
        await response(scope, receive, send)

    def methods_of(self, scope: Scope) -> Sequence[str]:
        """Return the methods of all routes of this path, sorted."""
        matching = [
            route
            for route in self._router.routes
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
        ]
        # A route with a parameter that matches as well comes later.
        methods = {
            method
            for route in matching
            if route.path == matching[0].path
            for method in route.methods or ()
        }
        return sorted(methods | {"HEAD", "OPTIONS"} if "GET" in methods else methods)


def _without_body(send: Send) -> Send:
    is_over = False

    async def send_head(message: Message) -> None:
        nonlocal is_over
        if message["type"] == "http.response.start":
            await send(message)
        elif not is_over:
            # End the response; a streaming GET then gets a disconnect.
            is_over = True
            await send({"type": "http.response.body", "body": b""})

    return send_head
