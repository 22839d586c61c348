"""A port with TLS, for clients that an application knows by their first request."""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from llamakeep.server.connections import BoundedProtocol, Bounds

MOST_STRANGERS = 64
"""
How many connections there may be whose first request is not known to be a node's;
others wait. With asyncio, each takes 0.3 MB.
"""

LONGEST_HANDSHAKE = 5.0
LONGEST_GOODBYE = 2.0
"""Seconds for which the other side may leave the end of a connection unanswered."""

NEXT_TRY = 1.0
"""Seconds until connections are accepted again, when the process has too many files."""

_NO_MORE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


class TlsPort:
    """
    Serves an application on a listener, over TLS.

    The event loop's own servers begin a handshake with everyone who connects. The
    application calls `known` of a request's `state` when it knows who sent it.

    Args:
        listener: It is listening.
        context: What is shown.
        app: What is served.
        state: Has the connections after their handshake.
        bounds: Limits of their requests.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        app: ASGIApp,
        state: ServerState,
        bounds: Bounds,
    ) -> None:
        self._listener = listener
        self._context = context
        self._config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        self._state = state
        self._bounds = bounds
        self._free = asyncio.Semaphore(MOST_STRANGERS)
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to accept connections."""
        self._listener.setblocking(False)
        # Asyncio does it only on its own sockets; those that are accepted inherit it.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begin(self._accept())

    async def close(self) -> None:
        """Accept no more connections; those with a handshake behind them stay."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._listener.close()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                self._free.release()
                if error.errno in _NO_MORE:
                    log.warning("no connections of other nodes are accepted: %s", error)
                    await asyncio.sleep(NEXT_TRY)
            else:
                self._begin(self._shake_hands(connection))

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._new_protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=LONGEST_HANDSHAKE,
                ssl_shutdown_timeout=LONGEST_GOODBYE,
            )
        except OSError as error:  # so is what TLS finds; strangers may connect, too
            # Its frames have the connection's buffers, and would wait for the garbage
            # collector: 0.3 MB each.
            error.__traceback__ = None
            self._free.release()

    def _new_protocol(self) -> asyncio.Protocol:
        return _Protocol(
            self._bounds,
            _Place(self._free.release),
            config=self._config,
            server_state=self._state,
        )


class _Place:
    """What a stranger takes up, until it is known or lost."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def leave(self) -> None:
        """Make room, once."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None


class _Protocol(BoundedProtocol):
    """A connection of a stranger, as long as the application does not know it."""

    __slots__ = ("_place",)

    def __init__(self, bounds: Bounds, place: _Place, **uvicorns_own: Any) -> None:
        # Not a method of this: its buffers would wait for the garbage collector.
        super().__init__(bounds, app_state={"known": place.leave}, **uvicorns_own)
        self._place = place

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect the request in progress."""
        super().connection_lost(exc)
        self._place.leave()
