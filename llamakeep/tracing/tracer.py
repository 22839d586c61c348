"""Exports spans by OTLP over HTTP, by OpenTelemetry's SDK."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from requests import Session

from llamakeep.tracing.spans import Attributes, Kind, Span

LAST_SECONDS = 2.0
"""Seconds that the last spans may take to be sent when the process stops."""

LONGEST_TRACEPARENT = 512
"""Characters of a header that OpenTelemetry reads."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_KINDS: Mapping[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
}
_W3C = TraceContextTextMapPropagator()


class _Seldom(logging.Filter):
    """
    Lets a record a minute through, as a warning.

    A collector that is gone is one failure, and no bug, however many batches fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record of the exporter."""
        now = time.monotonic()
        if now < self._silent_until:
            return False
        self._silent_until = now + 60
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


_SELDOM = _Seldom()


class Tracer:
    """
    Records spans when they end, and sends them in batches in a thread of its own.

    Sampler, resource, headers, timeouts and the length of the queue are those of
    OpenTelemetry's variables. While a collector does not take spans, the queue fills,
    and its oldest ones are dropped. A span is made as a whole when it ends, rather
    than begun by the SDK, which takes several times as long.

    Args:
        url: Where spans are sent, with its path.
        version: This program's.
    """

    def __init__(self, url: str, *, version: str) -> None:
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_SELDOM)
        session = Session()
        # The exporter follows no redirection, and would take it for success.
        session.max_redirects = 0
        exporter = OTLPSpanExporter(endpoint=url, session=session)
        self._processor = BatchSpanProcessor(exporter)
        own = {
            "service.name": "llamakeep",
            "service.version": version,
            "service.instance.id": str(uuid4()),
        }
        self._resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self._sampler = TracerProvider(
            resource=self._resource, shutdown_on_exit=False
        ).sampler
        self._scope = InstrumentationScope("llamakeep", version)
        self._ids = RandomIdGenerator()

    def read(self, traceparent: str) -> Span | None:
        """Return the span that a client's header names, if it is valid."""
        if len(traceparent) > LONGEST_TRACEPARENT:
            return None  # OpenTelemetry would log a warning for each request
        context = _W3C.extract({"traceparent": traceparent})
        found = get_current_span(context).get_span_context()
        if not found.is_valid:
            return None
        return Span(found.trace_id, found.span_id, is_sampled=found.trace_flags.sampled)

    def begin_trace(
        self,
        *,
        trace_id: int | None = None,
        parent: Span | None = None,
        began: int | None = None,
    ) -> Span:
        """
        Begin the first span that this process has of a trace, and decide on sampling.

        Args:
            trace_id: Of a new trace; by default, at random.
            parent: The span of another program whose trace is continued.
            began: When it began, if not now.
        """
        context = None
        if parent is not None:
            trace_id = parent.trace_id
            flags = _SAMPLED if parent.is_sampled else TraceFlags.get_default()
            named = SpanContext(
                trace_id, parent.span_id, is_remote=True, trace_flags=flags
            )
            context = set_span_in_context(NonRecordingSpan(named))
        trace_id = trace_id or self._ids.generate_trace_id()
        sampling = self._sampler.should_sample(context, trace_id, "request")
        return Span(
            trace_id,
            self._ids.generate_span_id(),
            None if parent is None else parent.span_id,
            is_sampled=sampling.decision is Decision.RECORD_AND_SAMPLE,
            began=began or time.time_ns(),
        )

    def begin(self, parent: Span) -> Span:
        """Begin a span below another one of this process."""
        return Span(
            parent.trace_id,
            self._ids.generate_span_id(),
            parent.span_id,
            is_sampled=parent.is_sampled,
            began=time.time_ns(),
        )

    def end(
        self,
        span: Span,
        name: str,
        attributes: Attributes,
        *,
        kind: Kind,
        is_failed: bool,
        linked: Span | None = None,
    ) -> None:
        """
        End a span that is sampled, and export it.

        Args:
            span: What `begin` or `begin_trace` returned.
            name: What the span is called; few different ones.
            attributes: Never what a client or a model said.
            kind: Whether it serves a request, or sends one.
            is_failed: Whether what it is about failed.
            linked: A span of another trace that led to this one.
        """
        parent = None if span.parent_id is None else _context(span, span.parent_id)
        links = [] if linked is None else [Link(_context(linked, linked.span_id))]
        self._processor.on_end(
            ReadableSpan(
                name,
                _context(span, span.span_id),
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                links=links,
                kind=_KINDS[kind],
                status=_ERROR if is_failed else _UNSET,
                start_time=span.began,
                end_time=time.time_ns(),
                instrumentation_scope=self._scope,
            )
        )

    async def close(self) -> None:
        """Send what is left, for `LAST_SECONDS` at most."""
        loop, is_done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call] # OpenTelemetry's
            with suppress(RuntimeError):  # nothing waits any more
                loop.call_soon_threadsafe(is_done.set)

        # Python waits for the threads of executors when it ends, and for no daemon.
        threading.Thread(target=shut_down, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await is_done.wait()


def _context(span: Span, span_id: int) -> SpanContext:
    return SpanContext(span.trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)
