"""Connections with timeouts for slow clients and limits on what they send."""

from asyncio import Transport
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools
import uvicorn.protocols.http.httptools_impl as uvicorns
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llamakeep.errors import UNREAD
from llamakeep.http.security_headers import HEADERS
from llamakeep.logs.access import AccessLog
from llamakeep.logs.context import Served, new_request_id
from llamakeep.schemas.problem import Problem, problem_json, urn
from llamakeep.server.corked import Corked
from llamakeep.server.heads import RefusedHead, check_head, without_upgrade
from llamakeep.server.unframed import send_unframed

NEVER = float("inf")

LINGER = 5.0
"""
Seconds for which the rest of a body is read after its response was sent, so that a
client that sends all of it first gets the response instead of a connection reset.
"""
LINGER_SIZE = 16 * 1024 * 1024
"""How many bytes of such a body are read."""

MOST_WAITING = 16
"""How many pipelined requests may wait on one connection."""

FRAMING = 16
"""
How many bytes a client may send for each byte of a body, beyond the size of a head.
Chunks of one byte take six.
"""

_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
_REFUSALS = {
    HTTPStatus.BAD_REQUEST: (
        "This is not a valid HTTP request, or too many were sent on one connection "
        "without waiting for the answers."
    ),
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive in time.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "The request's headers or trailers are too large."
    ),
    HTTPStatus.NOT_IMPLEMENTED: (
        "There is no proxy here, and the only transfer coding is `chunked`."
    ),
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "Send HTTP/1.1.",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a client's requests; times are in seconds."""

    header_size: int
    """In bytes. A piece of up to 256 KiB is read before it is checked."""
    header_timeout: float
    """From the connection, or a request's first byte, to the end of its headers."""
    body_timeout: float
    """
    From the end of the headers to the end of the body; for `long_bodies`, from one
    piece to the next.
    """
    write_timeout: float
    """How long a client may read nothing while there is data for it."""
    long_bodies: frozenset[bytes] = frozenset()
    """The paths of long uploads, such as imported histories."""
    access_log: AccessLog | None = None
    """Gets a line for each request that is refused here."""


class BoundedProtocol(HttpToolsProtocol):
    """
    Uvicorn's protocol with deadlines and bounded memory.

    A timer for each request would cost more than parsing it. So the protocol only
    stores its deadline, and `close_overdue` checks all connections once a second.
    """

    # With more than 30 attributes, each connection has a dictionary of its own: 1.5 KB.
    __slots__ = (
        "_body_size",
        "_bounds",
        "_corked",
        "_framing_size",
        "_head_size",
        "_is_in_body",
        "_is_in_head",
        "_late_size",
        "_may_be_long",
        "_read_deadline",
        "_refused",
        "_replayed",
        "_running",
        "_trailer_size",
        "_write_deadline",
    )

    def __init__(self, bounds: Bounds, **uvicorns_own: Any) -> None:
        super().__init__(**uvicorns_own)
        self._bounds = bounds
        self._read_deadline = self._write_deadline = NEVER
        self._is_in_head = self._is_in_body = False
        self._head_size = self._late_size = 0
        self._body_size = self._framing_size = self._trailer_size = 0
        self._may_be_long = False
        self._refused: HTTPStatus | None = None
        self._replayed = b""
        self._running: Any = None  # uvicorn's cycle that is being answered

    @property
    def deadline(self) -> float:
        """When to close the connection, by the event loop's clock."""
        return min(self._read_deadline, self._write_deadline)

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    @property
    def _is_between_requests(self) -> bool:
        cycle: Any = self.cycle  # uvicorn sets it with the first request
        return cycle is None or bool(cycle.response_complete)

    def connection_made(self, transport: Any) -> None:
        """Start the timeout of the first request's headers."""
        self._corked = Corked(transport, self.loop)
        super().connection_made(cast("Transport", self._corked))
        self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect the request in progress; uvicorn does only the last one."""
        if self._is_answering:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Flush responses, since the connection closes after this."""
        self._corked.flush()
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        """Parse `data`, unless the connection was refused."""
        if self._refused is not None:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        if self._is_in_body:
            self._framing_size += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__  # raised by a callback of this class, if any
            known = cause.status if isinstance(cause, RefusedHead) else None
            self._refuse(known or HTTPStatus.BAD_REQUEST)
        else:
            self._note(len(data))

    def on_message_begin(self) -> None:
        """
        Start the timeout of a request's headers.

        Raises:
            RefusedHead: Too many pipelined requests are waiting.
        """
        if len(self.pipeline) >= MOST_WAITING:
            # None of them has begun, and running them would only take time from others.
            self.pipeline.clear()
            self._is_in_head = True
            raise RefusedHead(HTTPStatus.BAD_REQUEST)
        super().on_message_begin()
        self._is_in_head = True
        self._head_size = self._late_size = 0
        self._body_size = self._framing_size = self._trailer_size = 0
        self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Store a header; drop a trailer, which comes after the body.

        Raises:
            RefusedHead: The trailers are too large.
        """
        if self._is_in_head:
            super().on_header(name, value)
            return
        self._trailer_size += len(name) + len(value) + 4
        if self._trailer_size > self._bounds.header_size:
            raise RefusedHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """
        Check the head, and start the timeout of the body.

        Raises:
            RefusedHead: The head is malformed or too large.
        """
        parser = self.parser
        method, version = parser.get_method(), parser.get_http_version()
        largest = self._bounds.header_size
        check_head(method, version, self.url, self.headers, largest=largest)
        if parser.should_upgrade():
            # The parser would stop here, and take the body for another protocol.
            self._replayed = without_upgrade(method, self.url, version, self.headers)
            return
        self._is_in_head, self._is_in_body = False, True
        self._may_be_long = self.url.partition(b"?")[0] in self._bounds.long_bodies
        self._read_deadline = self.loop.time() + self._bounds.body_timeout
        super().on_headers_complete()
        if version == "1.0":
            send_unframed(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Count and store a piece of the body."""
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the timeout: uvicorn has its own between requests."""
        if self._replayed:
            return
        self._is_in_body = False
        self._read_deadline = NEVER
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Limit the time for the rest of a body whose response was sent early."""
        super().on_response_complete()
        if self._refused is not None:
            if not self._is_answering:
                self._hang_up(self._refused)
        elif self._is_in_body and self._is_between_requests:
            linger = self.loop.time() + LINGER
            self._read_deadline = min(self._read_deadline, linger)

    def pause_writing(self) -> None:
        """Start the timeout of the client's reading."""
        super().pause_writing()
        self._write_deadline = self.loop.time() + self._bounds.write_timeout

    def resume_writing(self) -> None:
        """Stop the timeout of the client's reading."""
        super().resume_writing()
        self._write_deadline = NEVER

    def leave(self) -> None:
        """Close the connection if a request is still arriving: the server stops."""
        if self._read_deadline < NEVER:
            self._end()

    def expire(self) -> None:
        """Close the connection, whose deadline is over, unless the server is slow."""
        if self.flow.read_paused and self._write_deadline == NEVER:
            # The server reads no more until it has sent the response.
            self._read_deadline = self.loop.time() + self._bounds.body_timeout
        else:
            self._end()

    def _end(self) -> None:
        is_arriving = self._is_in_head or (
            self._is_in_body and not self.cycle.response_started
        )
        is_stuck = self._refused is not None or self._write_deadline < NEVER
        if is_arriving and not is_stuck:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.abort()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _feed(self, data: bytes) -> None:
        """Parse `data`, ignoring offers to upgrade to another protocol."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._replayed + data[offer.args[0] :]
                self._replayed = b""
                self._is_in_head = False
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _note(self, size: int) -> None:
        """Refuse a request whose head or chunk framing is too large."""
        if self._is_in_head:
            self._head_size += size
            if self._head_size > self._bounds.header_size:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._is_in_body and not self._is_between_requests:
            allowed = self._bounds.header_size + FRAMING * self._body_size
            if self._framing_size > allowed:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif self._may_be_long:
                self._read_deadline = self.loop.time() + self._bounds.body_timeout
        elif self._is_between_requests:
            self._drop(size)
            if self._read_deadline == NEVER:
                # Uvicorn stops its own timer when any data arrives: also for an empty
                # line, and for the rest of a body whose response was sent early.
                self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def _drop(self, size: int) -> None:
        """Discard data up to a limit, then abort the connection."""
        self._late_size += size
        if self._late_size > LINGER_SIZE:
            self.transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """Stop parsing; send the refusal after the responses to earlier requests."""
        if self.transport.is_closing():
            return
        self._refused = status
        self._late_size = 0
        self._read_deadline = NEVER
        cycle: Any = self.cycle
        if self._is_in_body and cycle is not self._running:
            self.pipeline.popleft()  # the refusal is its response
        elif self._is_in_body and cycle.response_started:
            self.transport.abort()  # a second response cannot be sent
            return
        elif self._is_in_body:
            cycle.disconnected = True
            cycle.message_event.set()
            self._running = None
        if not self._is_answering:
            self._hang_up(status)

    def _hang_up(self, status: HTTPStatus) -> None:
        """Send the refusal, and close when the client has had time to read it."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        served = Served()
        served.request_id = new_request_id()
        head, body = _refusal(status, served.request_id)
        self.transport.write(head + body)
        if self._bounds.access_log is not None:
            self._bounds.access_log.write(served, status=status, size=len(body))
        self._corked.flush()
        if not self.transport.can_write_eof():  # over TLS
            self.transport.close()
            return
        # Closing with unread bytes would reset the connection, and the client might
        # lose the response.
        self.transport.write_eof()
        self.flow.resume_reading()
        self._read_deadline = self.loop.time() + LINGER


def _refusal(status: HTTPStatus, request_id: str) -> tuple[bytes, bytes]:
    """Return the head and the body of a refusal."""
    problem = Problem(
        type=urn(status.phrase.lower().replace(" ", "-")),
        title=status.phrase,
        status=status,
        detail=f"{_REFUSALS[status]} {UNREAD}",
    )
    body = problem_json(problem)
    head = (
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n{_HEADERS}"
        f"x-request-id: {request_id}\r\n\r\n"
    )
    return uvicorns.STATUS_LINE[status] + head.encode(), body


def close_half_requests(connections: Iterable[Any]) -> None:
    """Close those of `connections` on which a request has arrived only in part."""
    for connection in tuple(connections):
        if isinstance(connection, BoundedProtocol):
            connection.leave()


def close_overdue(connections: Iterable[Any], now: float) -> None:
    """Close those of `connections` whose deadline is over."""
    for connection in tuple(connections):
        if isinstance(connection, BoundedProtocol) and connection.deadline < now:
            connection.expire()
