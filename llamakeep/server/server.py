"""Serving an application: sockets, signals, and an orderly end."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from llamakeep.garbage import look_seldom
from llamakeep.keeper import Keeper
from llamakeep.server.connections import (
    BoundedProtocol,
    Bounds,
    close_half_requests,
    close_overdue,
)
from llamakeep.settings import Settings

BACKLOG = 2048

LAST_READS = 2
"""Seconds that clients may take to read what was answered when the server stops."""

WhenReady = Callable[[FastAPI], Awaitable[None]]
NewServer = Callable[[uvicorn.Config, FastAPI, WhenReady], "Server"]


class Server(uvicorn.Server):
    """Uvicorn, which lets runs end before it closes its doors."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, when_ready: WhenReady
    ) -> None:
        super().__init__(config)
        self._app = app
        self._keeper: Keeper = app.state.keeper
        self._when_ready = when_ready
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn passes both
        """Refuse new prompts from now on; at the second signal, stop runs as well."""
        self.stop(at_once=self.should_exit)

    def stop(self, *, at_once: bool = False) -> None:
        """
        Refuse new prompts from now on.

        Args:
            at_once: Whether to stop runs as well, however much of their grace is left.
        """
        if at_once and self._task is not None:
            self._keeper.stop_accepting(grace=0)
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.should_exit = True
        self._keeper.stop_accepting()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, and say so."""
        await super().startup(sockets)
        await self._when_ready(self._app)

    async def on_tick(self, counter: int) -> bool:
        """Do what is due, ten times a second; once a second, look at deadlines."""
        if counter % 10 == 0:
            close_overdue(self.server_state.connections, self._loop.time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Let runs end within their grace, then close.

        Until they have, everything but new prompts is answered: whoever waits for a run
        is told its end, and load balancers see that this node is leaving.
        """
        await self._keeper.close()
        # Those would be logged as errors, one by one, that do not come at all.
        self._loop.call_later(
            LAST_READS / 2, close_half_requests, self.server_state.connections
        )
        await super().shutdown(sockets)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on the faster event loop, where the extra `speed` is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it may not be there
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def serve(
    app: FastAPI,
    listener: socket.socket,
    *,
    when_ready: WhenReady,
    new_server: NewServer = Server,
) -> None:
    """
    Serve `app` on `listener` until the process is told to stop.

    The lifespan is entered here rather than by uvicorn, so that what is wrong at the
    start is raised and not printed.

    Args:
        app: What `create_app` returned.
        listener: A socket that listens already, or has at least its address.
        when_ready: Called once, when the first request can be answered.
        new_server: Makes what is told to stop.

    Raises:
        LlamaKeepError: The application cannot start.
    """
    # asyncio does it for sockets it made itself. Without it, an answer's body waits for
    # the client's delayed acknowledgement of its head: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    settings: Settings = app.state.settings
    bounds = Bounds(
        header_size=int(settings.max_header_size),
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        write_timeout=settings.write_timeout,
    )
    async with app.router.lifespan_context(app):
        look_seldom()
        config = uvicorn.Config(
            app,
            # Called like the class that it makes instances of.
            http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, bounds)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=LAST_READS,
        )
        await new_server(config, app, when_ready).serve([listener])
