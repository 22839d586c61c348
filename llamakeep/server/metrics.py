"""`/metrics` on a port of its own, which has nothing else and needs no login."""

import socket

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from llamakeep.metrics.families import CONTENT_TYPE
from llamakeep.services import services_of


class MetricsOnPort:
    """
    Serves metrics on the port of `listener`, and `app` on all others.

    What counts is the port that was connected to, whatever the `Host` header says.
    """

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        self._app = app
        self._port = listener.getsockname()[1]
        self._metrics = Starlette(routes=[Route("/metrics", _metrics)])
        self._metrics.state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request to the application of its port."""
        is_here = scope["server"][1] == self._port
        await (self._metrics if is_here else self._app)(scope, receive, send)


async def _metrics(request: Request) -> Response:
    text = await services_of(request).metrics_text()
    return Response(text, media_type=CONTENT_TYPE)
