"""Applications with a port of their own, such as `/metrics` without a login."""

import socket
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llamakeep.metrics.families import CONTENT_TYPE
from llamakeep.services import services_of


class AppsOnPorts:
    """
    Serves other applications on the ports of some listeners, and `app` on all others.

    What counts is the port that was connected to, whatever the `Host` header says.
    """

    def __init__(self, app: ASGIApp, others: Mapping[socket.socket, ASGIApp]) -> None:
        self._app = app
        self._others = {
            listener.getsockname()[1]: other for listener, other in others.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request to the application of its port."""
        app = self._others.get(scope["server"][1], self._app)
        await app(scope, receive, send)


def metrics_of(app: FastAPI) -> ASGIApp:
    """Return an application that has nothing but `/metrics`, and needs no login."""
    metrics = Starlette(routes=[Route("/metrics", _metrics)])
    metrics.state = app.state
    return metrics


async def _metrics(request: Request) -> Response:
    text = await services_of(request).metrics_text()
    return Response(text, media_type=CONTENT_TYPE)
