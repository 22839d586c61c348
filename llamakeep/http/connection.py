"""One HTTP/1.1 connection, and the response being received on it."""

import asyncio
import select
from typing import NoReturn, cast

import httptools

from llamakeep.http.errors import ConnectionLost, HttpError, ProtocolError, ReadTimeout

MOST_AROUND_A_BODY = 64 * 1024
"""The largest head, or trailers, of a response, in bytes."""

MOST_UNREAD = 256 * 1024
"""Unread bytes above which reading from the socket pauses."""

_PIECE = 64
"""What a piece takes in memory beside its bytes: a chunk may have one."""

_INTERIM = frozenset({100, 102, 103})
"""The statuses after which the parser never reads a body, whatever the headers say."""


class Connection(asyncio.Protocol):
    """
    Sends one request at a time, and buffers the response until it is read.

    Args:
        silence_timeout: Seconds a server may send nothing.
    """

    def __init__(self, silence_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence_timeout = silence_timeout
        self._parser: httptools.HttpResponseParser | None = (
            httptools.HttpResponseParser(self)
        )
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._deadline: float | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: HttpError | None = None
        self._around = 0
        self._is_paused = False
        self._unread: list[bytes] = []
        self._unread_size = 0
        self._has_head = self._keeps_alive = False
        self._is_complete = True  # a response that comes before a request is an error
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self.idle_since = 0.0

    def ask(self, request: bytes, *, deadline: float | None) -> None:
        """
        Send `request`; the previous response has to be complete.

        Args:
            request: The head and the body.
            deadline: When the response has to be complete, by the loop's clock.

        Raises:
            ConnectionLost: The connection was lost meanwhile.
        """
        if self._transport is None:
            self._raise()
        self._headers = []
        self._unread.clear()
        self._unread_size = self._around = 0
        self._has_head = self._is_complete = self._keeps_alive = False
        self._heard_at = self._loop.time()
        self._deadline = deadline
        if deadline is not None or self._timer is None:
            self._unwatch()
            self._watch()
        self._transport.write(request)

    async def head(self) -> "Response":
        """
        Return the response once its head has arrived.

        Raises:
            HttpError: No head will arrive.
        """
        while not self._has_head:
            if self._error is not None:
                self._raise()
            await self._wait()
        return Response(self, self._status, self._headers)

    async def read(self) -> bytes | None:
        """Return received bytes of the body, as `Response.read` does."""
        while not self._unread:
            if self._is_complete:
                return None
            if self._error is not None:
                self._raise()
            await self._wait()
        unread = self._unread
        data = unread[0] if len(unread) == 1 else b"".join(unread)
        unread.clear()
        self._unread_size = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._heard_at = self._loop.time()
            self._transport.resume_reading()
        return data

    @property
    def is_read(self) -> bool:
        """Whether all of the response was received, and its body read."""
        return self._is_complete and not self._unread

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent."""
        return (
            self._is_complete
            and self._keeps_alive
            and self._error is None
            and not self._is_paused
            and self._transport is not None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    @property
    def has_unseen(self) -> bool:
        """
        Whether something has arrived that the event loop has not read yet.

        On an idle connection it is the server's end, or the answer to nothing: it must
        not be taken for the next one.
        """
        if self._transport is None or not hasattr(select, "poll"):  # as on Windows
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def hang_up(self) -> None:
        """Close the connection at once."""
        self._unwatch()
        if self._transport is not None:
            self._transport.abort()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport; TLS replaces it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes."""
        self._heard_at = self._loop.time()
        self._around += len(data)
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Also a response without a request.
            self._give_up(ProtocolError("This is not HTTP/1.1."))
            return
        if self._around > MOST_AROUND_A_BODY:
            self._give_up(ProtocolError("There is too much around the body."))
            return
        if self._unread_size > MOST_UNREAD and not self._is_paused:
            assert self._transport is not None
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """End the response that was being received."""
        self._transport = None
        self._parser = None  # breaks a reference cycle
        self._unwatch()
        if self._error is None:
            if self._has_head and error is None and not self._has_length:
                # A body without a length ends when the server closes the connection.
                self._is_complete = True
            self._error = ConnectionLost("The connection was lost.")
            self._error.__cause__ = error
        self._wake()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Refuse a second response to one request."""
        if self._is_complete:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; trailers are ignored."""
        if not self._has_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Continue with the body, unless this is an informational response."""
        assert self._parser is not None
        self._status = self._parser.get_status_code()
        if self._status < 100 or self._status == 101:
            raise ValueError  # no status, or a protocol that was not asked for
        if self._status < 200:
            if self._has_length and self._status not in _INTERIM:
                raise ValueError  # the parser would read a body
            self._headers = []
        elif self._is_encoded:
            raise ValueError  # where the body ends is not certain
        else:
            self._has_head = True
            self._around = 0

    def on_body(self, data: bytes) -> None:
        """Buffer a piece of the body."""
        self._unread.append(data)
        self._unread_size += len(data) + _PIECE
        self._around = 0

    def on_message_complete(self) -> None:
        """Note that the response is complete."""
        if self._has_head:
            assert self._parser is not None
            self._is_complete = True
            self.idle_since = self._loop.time()
            self._keeps_alive = self._parser.should_keep_alive()
            self._around = 0

    @property
    def _has_length(self) -> bool:
        lengths = {b"content-length", b"transfer-encoding"}
        return any(name in lengths for name, _ in self._headers)

    @property
    def _is_encoded(self) -> bool:
        """
        Whether the body is sent in another encoding than in chunks.

        The parser takes spaces away, but no tabs, before it compares.
        """
        encodings = [
            value.strip(b" ").lower()
            for name, value in self._headers
            if name == b"transfer-encoding"
        ]
        return encodings not in ([], [b"chunked"])

    def _raise(self) -> NoReturn:
        # A new exception each time, since tracebacks accumulate on one.
        assert self._error is not None
        raise type(self._error)(*self._error.args) from self._error.__cause__

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _give_up(self, error: HttpError) -> None:
        self._error = self._error or error
        self.hang_up()
        self._wake()

    def _watch(self) -> None:
        """
        Fail the response after a silence, else set the timer again.

        One timer serves consecutive requests: to set and cancel one each time costs
        more than a timer that fires in vain.
        """
        if self._is_complete:
            self._timer = None
            return
        now = self._loop.time()
        # While reading is paused, the silence is not the server's.
        heard_at = now if self._is_paused else self._heard_at
        due = heard_at + self._silence_timeout
        if self._deadline is not None:
            due = min(due, self._deadline)
        if now < due:
            self._timer = self._loop.call_at(due, self._watch)
        else:
            self._give_up(ReadTimeout("The server took too long."))

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Response:
    """
    A response whose body is still to be read.

    Args:
        connection: The connection.
        status: 200 or above.
        headers: Names in lower case.
    """

    __slots__ = ("_connection", "_headers", "status")

    def __init__(
        self, connection: Connection, status: int, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self._connection: Connection | None = connection
        self._headers = headers
        self.status = status

    def header(self, name: str) -> str | None:
        """Return the first value of a header; `name` in lower case."""
        wanted = name.encode()
        for known, value in self._headers:
            if known == wanted:
                return value.decode("latin-1")
        return None

    async def read(self) -> bytes | None:
        """
        Return received bytes of the body, waiting for some; `None` at its end.

        Raises:
            HttpError: The rest cannot be received.
        """
        assert self._connection is not None, "it was left"
        return await self._connection.read()

    async def read_all(self, limit: int) -> bytes | None:
        """
        Return the rest of the body; `None` if it has more than `limit` bytes.

        Raises:
            HttpError: The rest cannot be received.
        """
        body = bytearray()
        while (data := await self.read()) is not None:
            body += data
            if len(body) > limit:
                return None
        return bytes(body)

    @property
    def is_read(self) -> bool:
        """Whether all of it was received, and its body read."""
        assert self._connection is not None, "it was left"
        return self._connection.is_read

    def leave(self) -> Connection:
        """Release the connection."""
        connection, self._connection = self._connection, None
        assert connection is not None
        return connection
