"""HTTP responses, by route and status."""

from collections.abc import Sequence
from typing import NamedTuple

from llamakeep.metrics.families import OTHER, Family, Series

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
CLIENT_LEFT = "499"
"""The status if the client left before the response began; it is nginx's."""

# Name and bounds are those of OpenTelemetry's conventions.
_DURATION = Family(
    "http_server_request_duration_seconds",
    "Time from a request's headers to the end of its response.",
    "histogram",
    ("http_request_method", "http_route", "http_response_status_code"),
    (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25),
        *(0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    ),
)


class Response(NamedTuple):
    """What is counted of an HTTP response."""

    method: str
    route: str | None
    """The path with names in place of ids; `None` if no route took the request."""
    status: int | None
    """`None` if the client left before the response began."""
    seconds: float


class Responses:
    """
    The responses of this process.

    Each is appended to `noted` first, which `fold` empties.
    """

    def __init__(self) -> None:
        self.noted: list[tuple[str, str | None, int | None, float]] = []
        """Of a `Response` each; a plain tuple takes a third of the time."""
        self._durations = Series(_DURATION)

    def collect(self) -> Sequence[Series]:
        """Return the series of this process as of now."""
        self.fold()
        return (self._durations,)

    def fold(self) -> None:
        """Sum up what was noted."""
        noted, self.noted[:] = self.noted[:], []
        kinds: dict[tuple[str, str | None, int | None], list[float]] = {}
        for method, route, status, seconds in noted:
            known = method if method in METHODS else OTHER
            kinds.setdefault((known, route, status), []).append(seconds)
        for (method, route, status), durations in kinds.items():
            code = CLIENT_LEFT if status is None else str(status)
            self._durations.observe_all((method, route or "", code), durations)
