"""A pool of connections to one server."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

from llamakeep.http.connecting import Connector
from llamakeep.http.connection import Connection, Response
from llamakeep.http.errors import ConnectError, TooLate

LONGEST_IDLE = 4.0
"""Seconds; uvicorn, and so vLLM, closes idle connections after 5."""


class Pool:
    """
    Opens connections as needed, and keeps idle ones for a while.

    Args:
        connector: Opens connections.
        silence_timeout: Seconds a server may send nothing.
    """

    def __init__(self, connector: Connector, *, silence_timeout: float) -> None:
        self._connector = connector
        self._silence_timeout = silence_timeout
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def used(self) -> Connection | None:
        """Return an idle connection that can be used again, if there is one."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable and now - connection.idle_since < LONGEST_IDLE:
                return connection
            connection.hang_up()
        return None

    async def new(self, seconds: float | None) -> Connection:
        """
        Open a connection.

        Args:
            seconds: The time it may take, if less than the connect timeout.

        Raises:
            ConnectError: The server cannot be reached, or its certificate is not
                trusted.
        """
        if self._is_closed:
            raise ConnectError("The client is closed.")
        return await self._connector.connect(
            lambda: Connection(self._silence_timeout), seconds
        )

    def take_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, or close it."""
        if self._is_closed or not connection.is_reusable:
            connection.hang_up()
            return
        self._idle.append(connection)
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(LONGEST_IDLE, self._hang_up_idle)

    async def close(self) -> None:
        """Close idle connections, and open no more."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop().hang_up()
        await asyncio.sleep(0)  # lets the transports close

    def _hang_up_idle(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        for connection in tuple(self._idle):
            idle_for = loop.time() - connection.idle_since
            if idle_for >= LONGEST_IDLE or not connection.is_reusable:
                self._idle.remove(connection)
                connection.hang_up()
        if self._idle:
            self._sweep = loop.call_later(LONGEST_IDLE / 4, self._hang_up_idle)


class Exchange:
    """
    One request and its response, as a context manager that sends it.

    Args:
        pool: Has the connections.
        request: The head and the body.
        seconds: The time for everything.
        keep_alive: Whether to use an idle connection, and to keep it afterwards.
        is_late: Called right before sending; if true, nothing is sent.
    """

    __slots__ = (
        "_is_late",
        "_keep_alive",
        "_pool",
        "_request",
        "_response",
        "_seconds",
    )

    def __init__(
        self,
        pool: Pool,
        request: bytes,
        *,
        seconds: float | None,
        keep_alive: bool,
        is_late: Callable[[], bool] | None = None,
    ) -> None:
        self._is_late = is_late
        self._pool = pool
        self._request = request
        self._seconds = seconds
        self._keep_alive = keep_alive
        self._response: Response | None = None

    async def __aenter__(self) -> Response:
        deadline = None
        if self._seconds is not None:
            deadline = asyncio.get_running_loop().time() + self._seconds
        connection = self._pool.used() if self._keep_alive else None
        if connection is None:
            connection = await self._pool.new(self._seconds)
        try:
            if self._is_late is not None and self._is_late():
                raise TooLate("It was too late to send it.")  # noqa: TRY301 - see below
            connection.ask(self._request, deadline=deadline)
            self._response = await connection.head()
        except BaseException:
            connection.hang_up()
            raise
        return self._response

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._response is not None
        connection = self._response.leave()
        if self._keep_alive:
            self._pool.take_back(connection)
        else:
            connection.hang_up()
