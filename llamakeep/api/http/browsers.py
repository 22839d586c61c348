"""Security headers and cookies of responses, and CORS for configured origins."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.api.http.login_cookies import SET_COOKIE
from llamakeep.http.security_headers import HEADERS

_RAW = {name.encode(): value.encode() for name, value in HEADERS.items()}
_EXPOSED = (
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Request-Id",
    "Retry-After",
    "X-Request-Id",
)
"""Headers that pages of other origins may read."""


def protect_browsers(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Add security headers and CORS to all responses of `app`; call it last."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers="*",  # clients have headers of their own
            expose_headers=_EXPOSED,
        )
    app.add_middleware(SecurityHeaders)


class SecurityHeaders:
    """Adds the security headers to every response, and a login's cookie to some."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, and add to the response's headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                said = _RAW.copy()
                for name, _ in headers:
                    said.pop(name, None)
                message["headers"] = [*headers, *said.items()]
                if SET_COOKIE in scope:
                    message["headers"].append((b"set-cookie", scope[SET_COOKIE]))
            await send(message)

        await self._app(scope, receive, send_with_headers)
