"""The span of a request."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from llamakeep.api.middleware.forwarded import Network, address_of
from llamakeep.domain.ids import number_of
from llamakeep.logs.access import PROBES
from llamakeep.logs.context import Served
from llamakeep.metrics.families import OTHER
from llamakeep.metrics.http import METHODS
from llamakeep.tracing.spans import ROOT, Span

if TYPE_CHECKING:
    from llamakeep.tracing.tracer import Tracer

_TRACEPARENT = b"traceparent"


class RequestTrace:
    """
    The span of a request that is being served, and the first one of its trace here.

    Its trace is decided when it is needed: a request that begins a run has the trace of
    the run's id, unless it continues one of a client. Clients that are not in
    `networks` only get a link, or any of them could have all of its requests sampled.
    """

    def __init__(
        self, tracer: "Tracer", networks: Sequence[Network], scope: Scope
    ) -> None:
        self._tracer = tracer
        self._networks = networks
        self._scope = scope
        self._began = time.time_ns()
        self._span: Span | None = None
        self._linked: Span | None = None
        ROOT.set(self.root)

    def root(self, run_id: str | None = None) -> Span:
        """Return the span, whose trace has the id of the run that it began first."""
        if self._span is None:
            parent = self._named()
            if parent is not None and not self._is_believed():
                parent, self._linked = None, parent
            self._span = self._tracer.begin_trace(
                trace_id=None if run_id is None else number_of(run_id),
                parent=parent,
                began=self._began,
            )
        return self._span

    def end(
        self, served: Served, *, method: str, route: str | None, status: int | None
    ) -> None:
        """End the span, as the response has ended; probes that succeed have none."""
        if route in PROBES and (status or 500) < 400:
            return
        span = self.root()
        if not span.is_sampled:
            return
        known = method if method in METHODS else OTHER
        attributes: dict[str, Any] = {
            "http.request.method": known,
            "url.scheme": self._scope["scheme"],
            "llamakeep.request.id": served.request_id,
        }
        if route is not None:
            attributes["http.route"] = route
        if served.run_id is not None:
            attributes["llamakeep.run.id"] = served.run_id
        if status is not None:
            attributes["http.response.status_code"] = status
        is_failed = status is not None and status >= 500
        if is_failed:
            attributes["error.type"] = str(status)
        name = "HTTP" if known == OTHER else known
        self._tracer.end(
            span,
            name if route is None else f"{name} {route}",
            attributes,
            kind="server",
            is_failed=is_failed,
            linked=self._linked,
        )

    def _named(self) -> Span | None:
        """Return the span that the client's header names."""
        for name, value in self._scope["headers"]:
            if name == _TRACEPARENT:
                return self._tracer.read(value.decode("latin-1"))
        return None

    def _is_believed(self) -> bool:
        # By now it is the client's address, whatever proxies are in between.
        client = self._scope.get("client")
        address = address_of(client[0]) if client else None
        return address is not None and any(address in each for each in self._networks)
