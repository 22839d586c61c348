"""Connections that give up on clients who send too slowly, too much, or never read."""

from asyncio import Transport
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import uvicorn.protocols.http.httptools_impl as uvicorns
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llamakeep.api import history_import
from llamakeep.api.browsers import HEADERS
from llamakeep.api.problems import Problem, problem_json, urn
from llamakeep.server.corked import Corked

NEVER = float("inf")

LINGER = 5.0
"""
Seconds for which a body is still taken in that was answered before it had ended, so
that a client which sends all of it first reads the answer and no reset.
"""
LINGER_SIZE = 16 * 1024 * 1024
"""How many bytes of it are taken in."""

_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
_LONG_BODIES = {path.encode() for path in history_import.PATHS}
_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "This is not a valid HTTP request.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive in time.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's headers are too large.",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take; the times are in seconds."""

    header_size: int
    """In bytes. What arrives in one piece is read as a whole, at most 256 KiB."""
    header_timeout: float
    """From the connection, or a request's first byte, to the end of its headers."""
    body_timeout: float
    """
    From the end of the headers to the end of the body; of one that may be as large as a
    history, from one piece to the next.
    """
    write_timeout: float
    """Without reading anything of what waits to be read."""


class BoundedProtocol(HttpToolsProtocol):
    """
    Uvicorn's protocol with deadlines.

    A timer for each request would cost more than the request's parsing. So deadlines
    are only noted here, and `close_overdue` looks at them now and then.
    """

    # With more than 30 attributes, each connection has a dictionary of its own: 1.5 KB.
    __slots__ = (
        "_bounds",
        "_corked",
        "_head_size",
        "_is_in_head",
        "_late_size",
        "_may_be_long",
        "_read_deadline",
        "_refusal",
        "_write_deadline",
    )

    def __init__(self, bounds: Bounds, **uvicorns_own: Any) -> None:
        super().__init__(**uvicorns_own)
        self._bounds = bounds
        self._read_deadline = self._write_deadline = NEVER
        self._is_in_head = False
        self._head_size = self._late_size = 0
        self._may_be_long = False
        self._refusal = HTTPStatus.BAD_REQUEST

    @property
    def deadline(self) -> float:
        """When to give up, by the event loop's clock."""
        return min(self._read_deadline, self._write_deadline)

    @property
    def _is_between_requests(self) -> bool:
        cycle: Any = self.cycle  # uvicorn sets it with the first request
        return cycle is None or bool(cycle.response_complete)

    @property
    def _is_receiving(self) -> bool:
        return self._read_deadline < NEVER and not self._is_in_head

    def connection_made(self, transport: Any) -> None:
        """Expect a request."""
        self._corked = Corked(transport, self.loop)
        super().connection_made(cast("Transport", self._corked))
        self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def eof_received(self) -> None:
        """Send what is answered already: the connection closes by itself after this."""
        self._corked.flush()
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers do not end."""
        super().data_received(data)
        if self._is_in_head:
            self._head_size += len(data)
            if self._head_size > self._bounds.header_size:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._may_be_long and self._is_receiving and not self._is_between_requests:
            self._read_deadline = self.loop.time() + self._bounds.body_timeout
        elif self._is_between_requests:
            self._late_size += len(data)
            if self._late_size > LINGER_SIZE:
                self.transport.abort()
            if self._read_deadline == NEVER:
                # Uvicorn stops its own timer for whatever arrives: for an empty line,
                # and for the rest of a body that was answered before it was there.
                self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def on_message_begin(self) -> None:
        """Expect its headers."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_size = self._late_size = 0
        self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def on_headers_complete(self) -> None:
        """
        Expect the body.

        Raises:
            ValueError: The headers came in one piece, and are too large.
        """
        self._is_in_head = False
        self._may_be_long = self.url.partition(b"?")[0] in _LONG_BODIES
        self._read_deadline = self.loop.time() + self._bounds.body_timeout
        size = len(self.url) + sum(
            len(name) + len(value) for name, value in self.headers
        )
        if size > self._bounds.header_size:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect nothing: between requests, uvicorn has a timer of its own."""
        self._read_deadline = NEVER
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Expect no more of a body that was answered early than what is on its way."""
        super().on_response_complete()
        if self._is_receiving and self._is_between_requests:
            linger = self.loop.time() + LINGER
            self._read_deadline = min(self._read_deadline, linger)

    def pause_writing(self) -> None:
        """Expect the client to read."""
        super().pause_writing()
        self._write_deadline = self.loop.time() + self._bounds.write_timeout

    def resume_writing(self) -> None:
        """Expect nothing: it does."""
        super().resume_writing()
        self._write_deadline = NEVER

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answer what cannot be parsed as everything else is answered."""
        self._refuse(self._refusal)

    def leave(self) -> None:
        """Close the connection if a request is still arriving: the server stops."""
        if self._read_deadline < NEVER:
            self.expire()

    def expire(self) -> None:
        """Close the connection: its deadline is over."""
        cycle: Any = self.cycle  # uvicorn sets it with the first request
        is_idle = cycle is None and not self._is_in_head
        is_answering = cycle is not None and cycle.response_started
        if is_idle or is_answering or self._write_deadline < NEVER:
            self.transport.abort()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why, and hang up."""
        if self.transport.is_closing():
            return
        title = _REFUSALS[status]
        problem = Problem(
            type=urn(status.phrase.lower().replace(" ", "-")),
            title=status.phrase,
            status=status,
            detail=f"{title} Nothing was stored.",
        )
        body = problem_json(problem)
        head = (
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{_HEADERS}\r\n"
        )
        self.transport.write(uvicorns.STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


def close_half_requests(connections: Iterable[Any]) -> None:
    """Close those of `connections` on which a request has begun and not ended."""
    for connection in tuple(connections):
        if isinstance(connection, BoundedProtocol):
            connection.leave()


def close_overdue(connections: Iterable[Any], now: float) -> None:
    """Close those of `connections` whose deadline is over."""
    for connection in tuple(connections):
        if isinstance(connection, BoundedProtocol) and connection.deadline < now:
            connection.expire()
