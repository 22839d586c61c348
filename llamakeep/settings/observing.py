"""Settings of metrics, logs and traces."""

from pydantic import AliasChoices, Field, HttpUrl
from pydantic_settings import BaseSettings

from llamakeep.settings.values import LogFormat, LogLevel, Networks


class ObservingSettings(BaseSettings):
    """What operators see of a server."""

    metrics_networks: Networks = ()
    """
    Addresses and networks that may read `/metrics` without a login, with commas in
    between: `127.0.0.1,10.0.0.0/8`. Without it, only administrators may.
    """

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """
    A port that has `/metrics` and nothing else, without a login; 0 takes a free one.
    Without it, there is none.
    """

    metrics_host: str = "127.0.0.1"
    """
    The address of `LLAMAKEEP_METRICS_PORT`. Whoever reaches it reads the metrics.
    """

    log_level: LogLevel = "info"
    """The least important records that are logged, to standard error."""

    log_format: LogFormat = "line"
    """
    How records of the log are written: `line` for readers, `json` for programs, an
    object a line; see `docs/deploy/logs.md`.
    """

    access_log: bool = True
    """
    Whether each request is logged with its route, status and duration, never with what
    was in it. With a `LLAMAKEEP_LOG_LEVEL` above `info` it is not.
    """

    otlp_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "LLAMAKEEP_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
        repr=False,
    )
    """
    Where traces are sent, by OTLP over HTTP: a collector's base URL, such as
    `http://127.0.0.1:4318`. Without it, there are no traces. OpenTelemetry's own name,
    `OTEL_EXPORTER_OTLP_ENDPOINT`, works as well; see `docs/deploy/tracing.md`.
    """

    otlp_traces_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "LLAMAKEEP_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        ),
        repr=False,
    )
    """
    The same with its path, which is otherwise `/v1/traces` below
    `LLAMAKEEP_OTLP_ENDPOINT`. `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` works as well.
    """

    trace_networks: Networks = ()
    """
    Addresses and networks whose requests continue the trace that their `traceparent`
    names, and are sampled as it says, with commas in between. Requests from elsewhere
    begin a trace, with a link to theirs.
    """
