"""A collector: a server on loopback whose requests are read as OTLP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.providers.stub_server import StubServer, running_stub, whole
from tests.waiting import until


class Span(NamedTuple):
    """A span as it came in."""

    name: str
    kind: str
    trace_id: str
    id: str
    parent_id: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    is_failed: bool
    links: tuple[tuple[str, str], ...]
    """The traces and spans that it names."""
    seconds: float


class Collector:
    """Reads what a stub got."""

    def __init__(self, stub: StubServer) -> None:
        self.stub = stub
        self.url = f"http://127.0.0.1:{stub.port}"

    @property
    def raw(self) -> bytes:
        """All that was sent."""
        return b"".join(heard.body for heard in self.stub.heard)

    def spans(self, name: str | None = None) -> list[Span]:
        """Return the spans that came in, or those of a name."""
        assert {each.path for each in self.stub.heard} <= {"/v1/traces"}
        found = [
            _read(span, _values(each.resource.attributes))
            for heard in self.stub.heard
            for each in ExportTraceServiceRequest.FromString(heard.body).resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        ]
        return [each for each in found if name in {None, each.name}]

    async def wait_for(self, name: str) -> Span:
        """Return the first span of a name, once it is there."""
        await until(lambda: self.spans(name))
        return self.spans(name)[0]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    async with running_stub(whole(200, b"")) as stub:
        yield Collector(stub)


def _read(span: Sent, resource: Mapping[str, Any]) -> Span:
    return Span(
        span.name,
        Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _values(span.attributes),
        resource,
        span.status.code == Status.STATUS_CODE_ERROR,
        tuple((each.trace_id.hex(), each.span_id.hex()) for each in span.links),
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _values(pairs: Any) -> Mapping[str, Any]:
    return {each.key: _value(each.value) for each in list[KeyValue](pairs)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
