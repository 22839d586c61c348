"""Connections that give up on clients who send too slowly, too much, or never read."""

from asyncio import Transport
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools
import uvicorn.protocols.http.httptools_impl as uvicorns
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llamakeep.errors import UNREAD
from llamakeep.schemas.problem import Problem, problem_json, urn
from llamakeep.schemas.security_headers import HEADERS
from llamakeep.server.corked import Corked
from llamakeep.server.heads import RefusedHead, check_head, without_upgrade
from llamakeep.server.unframed import send_unframed

NEVER = float("inf")

LINGER = 5.0
"""
Seconds for which a body is still taken in that was answered before it had ended, so
that a client which sends all of it first reads the answer and no reset.
"""
LINGER_SIZE = 16 * 1024 * 1024
"""How many bytes of it are taken in."""

MOST_WAITING = 16
"""Requests on one connection that may wait until those before them are answered."""

FRAMING = 16
"""
Bytes that a client may send for each byte of a body, beyond the size of a head: chunks
of one byte take six.
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
    long_bodies: frozenset[bytes] = frozenset()
    """The paths of bodies that may be as large as a history."""


class BoundedProtocol(HttpToolsProtocol):
    """
    Uvicorn's protocol with deadlines, and with a bound for whatever is kept.

    A timer for each request would cost more than the request's parsing. So deadlines
    are only noted here, and `close_overdue` looks at them now and then.
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
        """When to give up, by the event loop's clock."""
        return min(self._read_deadline, self._write_deadline)

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    @property
    def _is_between_requests(self) -> bool:
        cycle: Any = self.cycle  # uvicorn sets it with the first request
        return cycle is None or bool(cycle.response_complete)

    def connection_made(self, transport: Any) -> None:
        """Expect a request."""
        self._corked = Corked(transport, self.loop)
        super().connection_made(cast("Transport", self._corked))
        self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so to the request that is being answered; uvicorn tells the last one."""
        if self._is_answering:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Send what is answered already: the connection closes by itself after this."""
        self._corked.flush()
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        """Read on, unless what is sent does not end, or was refused."""
        if self._refused is not None:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        if self._is_in_body:
            self._framing_size += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__  # what one of our own methods raised
            known = cause.status if isinstance(cause, RefusedHead) else None
            self._refuse(known or HTTPStatus.BAD_REQUEST)
        else:
            self._note(len(data))

    def on_message_begin(self) -> None:
        """
        Expect its headers.

        Raises:
            RefusedHead: Too many requests wait for their turn already.
        """
        if len(self.pipeline) >= MOST_WAITING:
            # None of them has begun. To answer them first would cost others as much.
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
        Take a header; one behind the body (a trailer) is none, and is dropped.

        Raises:
            RefusedHead: There is too much of it.
        """
        if self._is_in_head:
            super().on_header(name, value)
            return
        self._trailer_size += len(name) + len(value) + 4
        if self._trailer_size > self._bounds.header_size:
            raise RefusedHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """
        Expect the body.

        Raises:
            RefusedHead: Of this request, none is read.
        """
        parser = self.parser
        method, version = parser.get_method(), parser.get_http_version()
        largest = self._bounds.header_size
        check_head(method, version, self.url, self.headers, largest=largest)
        if parser.should_upgrade():
            # The parser would take the body for another protocol.
            self._replayed = without_upgrade(method, self.url, version, self.headers)
            return
        self._is_in_head, self._is_in_body = False, True
        self._may_be_long = self.url.partition(b"?")[0] in self._bounds.long_bodies
        self._read_deadline = self.loop.time() + self._bounds.body_timeout
        super().on_headers_complete()
        if version == "1.0":
            send_unframed(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect nothing: between requests, uvicorn has a timer of its own."""
        if self._replayed:
            return
        self._is_in_body = False
        self._read_deadline = NEVER
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Expect no more of a body that was answered early than what is on its way."""
        super().on_response_complete()
        if self._refused is not None:
            if not self._is_answering:
                self._hang_up(self._refused)
        elif self._is_in_body and self._is_between_requests:
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

    def leave(self) -> None:
        """Close the connection if a request is still arriving: the server stops."""
        if self._read_deadline < NEVER:
            self._end()

    def expire(self) -> None:
        """Close the connection: its deadline is over, and the client is to blame."""
        if self.flow.read_paused and self._write_deadline == NEVER:
            # What is sent behind a request waits until that is answered.
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
        """
        Parse `data`; whoever offers another protocol is answered in this one.

        Raises:
            httptools.HttpParserError: It is refused.
        """
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
        """Bound what a request has beyond its body, now that so much more is there."""
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
                # Uvicorn stops its own timer for whatever arrives: for an empty line,
                # and for the rest of a body that was answered before it was there.
                self._read_deadline = self.loop.time() + self._bounds.header_timeout

    def _drop(self, size: int) -> None:
        """Take in what is not read, for as long as there is little of it."""
        self._late_size += size
        if self._late_size > LINGER_SIZE:
            self.transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """Read no more; say why when all requests before this one are answered."""
        if self.transport.is_closing():
            return
        self._refused = status
        self._late_size = 0
        self._read_deadline = NEVER
        cycle: Any = self.cycle
        if self._is_in_body and cycle is not self._running:
            self.pipeline.popleft()  # the answer to it is this one
        elif self._is_in_body and cycle.response_started:
            self.transport.abort()  # there is no second answer
            return
        elif self._is_in_body:
            cycle.disconnected = True
            cycle.message_event.set()
            self._running = None
        if not self._is_answering:
            self._hang_up(status)

    def _hang_up(self, status: HTTPStatus) -> None:
        """Say why, and close when the client has had a chance to read it."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.transport.write(_refusal(status))
        self._corked.flush()
        # With bytes that were not read, closing would reset the connection, and the
        # client might lose the answer.
        self.transport.write_eof()
        self.flow.resume_reading()
        self._read_deadline = self.loop.time() + LINGER


def _refusal(status: HTTPStatus) -> bytes:
    """Return an answer in full."""
    problem = Problem(
        type=urn(status.phrase.lower().replace(" ", "-")),
        title=status.phrase,
        status=status,
        detail=f"{_REFUSALS[status]} {UNREAD}",
    )
    body = problem_json(problem)
    head = (
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n{_HEADERS}\r\n"
    )
    return uvicorns.STATUS_LINE[status] + head.encode() + body


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
