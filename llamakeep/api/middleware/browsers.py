"""CORS for configured origins."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

_EXPOSED = (
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Request-Id",
    "Retry-After",
    "X-Request-Id",
)
"""Headers that pages of other origins may read."""


def allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let pages of other origins call `app`, if any are configured."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers="*",  # clients have headers of their own
            expose_headers=_EXPOSED,
        )
