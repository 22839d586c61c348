"""A pool of connections to one server."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

from llamakeep.http.connecting import Connector
from llamakeep.http.connection import Connection, Response
from llamakeep.http.errors import ConnectError, PoolTimeout, TooLate

LONGEST_IDLE = 4.0
"""Seconds; uvicorn, and so vLLM, closes idle connections after 5."""

MOST_CONNECTIONS = 1024
"""How many connections may be in use at a time, unless the client is given a number."""


class Pool:
    """
    Opens connections as needed, and keeps idle ones for a while.

    Args:
        connector: Opens connections.
        wait_timeout: Seconds to wait for a connection when all are in use.
        silence_timeout: Seconds a server may send nothing.
        most_connections: How many may be in use at a time.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        wait_timeout: float,
        silence_timeout: float,
        most_connections: int,
    ) -> None:
        self._connector = connector
        self._wait_timeout = wait_timeout
        self._silence_timeout = silence_timeout
        self._free = asyncio.Semaphore(most_connections)
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def lend(self, deadline: float | None, *, is_own: bool) -> Connection:
        """
        Return an idle connection, or open one; `take_back` has to follow.

        Args:
            deadline: When it is too late for one, by the loop's clock.
            is_own: Whether it has to be a new one.

        Raises:
            PoolTimeout: All connections stay in use.
            ConnectError: The server cannot be reached, or its certificate is not
                trusted.
        """
        if self._free.locked():
            await self._wait(deadline)
        else:
            await self._free.acquire()  # at once
        try:
            used = None if is_own else self._used()
            return used or await self._new(deadline)
        except BaseException:
            self._free.release()
            raise

    async def _wait(self, deadline: float | None) -> None:
        until = asyncio.get_running_loop().time() + self._wait_timeout
        if deadline is not None:
            until = min(until, deadline)
        try:
            async with asyncio.timeout_at(until):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout("All connections to the server are in use.") from None

    def _used(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            is_young = now - connection.idle_since < LONGEST_IDLE
            if is_young and connection.is_reusable and not connection.has_unseen:
                return connection
            connection.hang_up()
        return None

    async def _new(self, deadline: float | None) -> Connection:
        if self._is_closed:
            raise ConnectError("The client is closed.")
        seconds = None
        if deadline is not None:
            seconds = max(0, deadline - asyncio.get_running_loop().time())
        return await self._connector.connect(
            lambda: Connection(self._silence_timeout), seconds
        )

    def take_back(self, connection: Connection, *, is_over: bool) -> None:
        """
        Keep a connection for the next request, or close it.

        Args:
            connection: It was lent.
            is_over: Whether it has to be closed.
        """
        self._free.release()
        if is_over or self._is_closed or not connection.is_reusable:
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
        connection = await self._pool.lend(deadline, is_own=not self._keep_alive)
        try:
            if self._is_late is not None and self._is_late():
                raise TooLate("It was too late to send it.")  # noqa: TRY301 - see below
            connection.ask(self._request, deadline=deadline)
            self._request = b""  # it may be long, and an answer take long
            self._response = await connection.head()
        except BaseException:
            self._pool.take_back(connection, is_over=True)
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
        self._pool.take_back(connection, is_over=not self._keep_alive)
