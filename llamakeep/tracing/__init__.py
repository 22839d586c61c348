"""Traces by OpenTelemetry, which is imported only if they are wanted."""

import logging
import os
from typing import TYPE_CHECKING

from llamakeep.settings import Settings

if TYPE_CHECKING:
    from llamakeep.tracing.tracer import Tracer

__all__ = ["endpoint", "how_to_send", "open_tracer"]

log = logging.getLogger(__name__)


def open_tracer(settings: Settings, *, version: str) -> "Tracer | None":
    """Return what records traces, if the settings say where they are sent."""
    url = endpoint(settings)
    if url is None:
        return None
    if fix := how_to_send():
        log.warning("traces are not sent: %s", fix)
        return None
    from llamakeep.tracing.tracer import Tracer  # noqa: PLC0415 - an extra

    try:
        return Tracer(url, version=version)
    except ValueError as error:
        log.warning("traces are not sent: a variable OTEL_… is wrong: %s", error)
        return None


def endpoint(settings: Settings) -> str | None:
    """Return where traces are sent, if they are wanted."""
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_disabled or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if settings.otlp_traces_endpoint is not None:
        return str(settings.otlp_traces_endpoint)
    if settings.otlp_endpoint is None:
        return None
    return f"{str(settings.otlp_endpoint).rstrip('/')}/v1/traces"


def how_to_send() -> str | None:
    """Return what is to be changed before traces can be sent, if anything is."""
    names = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
    for name in names:
        protocol = os.environ.get(name)
        if protocol and protocol != "http/protobuf":
            return (
                f"{name} is {protocol}. Set it to http/protobuf, and the endpoint to "
                "the collector's port for HTTP, usually 4318."
            )
    try:
        import llamakeep.tracing.tracer  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return "Run `pip install 'llamakeep[otel]'`."
    return None
