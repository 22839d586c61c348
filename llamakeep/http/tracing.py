"""Which trace requests to other servers are part of."""

from contextvars import ContextVar

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""
The header `traceparent` of requests that the current task sends; `None` for no header.

See https://www.w3.org/TR/trace-context/.
"""
