"""The outermost middleware: request ids, headers of all responses, the access log."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.api.http.login_cookies import SET_COOKIE
from llamakeep.api.middleware.forwarded import Network
from llamakeep.api.middleware.tracing import RequestTrace
from llamakeep.http.security_headers import HEADERS
from llamakeep.logs.access import AccessLog
from llamakeep.logs.context import (
    REQUEST_ID,
    SERVED,
    Served,
    new_request_id,
    usable,
)
from llamakeep.metrics.http import Responses
from llamakeep.metrics.metrics import MOST_NOTED

if TYPE_CHECKING:
    from llamakeep.tracing.tracer import Tracer

_RAW = {name.encode(): value.encode() for name, value in HEADERS.items()}


class Outermost:
    """
    Gives each request an id, and each response that id and the security headers.

    Some responses get a login's cookie, too. All of this is one class, since each layer
    costs time on every piece of every response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        responses: Responses,
        access_log: AccessLog | None = None,
        tracer: "Tracer | None" = None,
        trace_networks: Sequence[Network] = (),
    ) -> None:
        self._app = app
        self._tracer = tracer
        self._trace_networks = trace_networks
        self._access_log = access_log
        self._responses = responses
        self._noted = responses.noted

    async def __call__(  # noqa: C901 - each function more is a call in each request
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Forward the request, add to the response's headers, and log both."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        served = Served()
        for name, value in scope["headers"]:
            if name == REQUEST_ID:
                served.request_id = usable(value)
        served.request_id = request_id = served.request_id or new_request_id()
        SERVED.set(served)
        trace = None
        if self._tracer is not None:
            trace = RequestTrace(self._tracer, self._trace_networks, scope)
        status: int | None = None
        size = 0
        is_whole = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, size, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                said = _RAW.copy()
                for name, _ in headers:
                    said.pop(name, None)
                message["headers"] = [
                    *headers,
                    *said.items(),
                    (REQUEST_ID, request_id.encode()),
                ]
                if SET_COOKIE in scope:
                    message["headers"].append((b"set-cookie", scope[SET_COOKIE]))
                await send(message)
                return
            await send(message)
            size += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)

        is_bug = False
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            is_bug = True
            if status is None:
                status, is_whole = 500, True  # Starlette sends it, outside of this
            raise
        finally:
            method, seconds = scope["method"], time.perf_counter() - began
            route = getattr(scope.get("route"), "path", None)
            self._noted.append((method, route, status, seconds))  # a `Response`
            if len(self._noted) == MOST_NOTED:
                asyncio.get_running_loop().call_soon(self._responses.fold)
            if self._access_log is not None:
                self._access_log.write(
                    served,
                    method=method,
                    route=route,
                    status=status,
                    size=size,
                    seconds=seconds,
                    is_whole=is_whole,
                )
            if trace is not None:
                trace.end(served, method=method, route=route, status=status)
            if not is_bug:  # else the server logs it, with the request's id
                served.request_id = None
