"""Serving an application: sockets, signals and orderly shutdown."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from llamakeep import signals
from llamakeep.garbage import collect_rarely
from llamakeep.server.connections import (
    BoundedProtocol,
    Bounds,
    close_half_requests,
    close_overdue,
)
from llamakeep.server.ports import AppsOnPorts, metrics_of
from llamakeep.server.tls_port import TlsPort
from llamakeep.services import Services
from llamakeep.settings.upstreams import Reading
from llamakeep.systemd import Manager

BACKLOG = 2048

LAST_READS = 2
"""Seconds that clients have to read their responses when the server stops."""

NODES_HEADER_SIZE = 8 * 1024
NODES_HEADER_TIMEOUT = 5.0
"""Limits of other nodes, which send short requests at once."""

LAST_RESPONSE = (b"connection", b"close")
"""The header that makes a client open another connection for its next request."""

_RELOADS: set[asyncio.Task[None]] = set()
"""Those that are going on: the event loop alone does not hold on to a task."""

WhenReady = Callable[[FastAPI], Awaitable[None]]
NewServer = Callable[[uvicorn.Config, FastAPI, WhenReady], "Server"]


class Server(uvicorn.Server):
    """
    Uvicorn's server, which waits for runs to end before it shuts down.

    If its listener `is_kept` by another process, connections that come while it stops
    are left to the server that is started next.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        when_ready: WhenReady,
        *,
        is_kept: bool = False,
    ) -> None:
        super().__init__(config)
        self._app = app
        services: Services = app.state.services
        self._engine = services.engine
        self._drain_seconds = services.settings.drain_seconds
        self._is_kept = is_kept
        self._drained_at: float | None = None
        self._when_ready = when_ready
        self._tls_port = self._port_for_nodes(services)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()

    def _port_for_nodes(self, services: Services) -> TlsPort | None:
        if services.for_nodes is None:
            return None
        app, listening = services.for_nodes
        if listening.far is None or listening.tls is None:
            return None
        bounds = Bounds(
            header_size=NODES_HEADER_SIZE,
            header_timeout=NODES_HEADER_TIMEOUT,
            body_timeout=services.settings.body_timeout,
            write_timeout=services.settings.write_timeout,
        )
        return TlsPort(listening.far, listening.tls, app, self.server_state, bounds)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: `serve` handles signals, also during start and shutdown."""
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn passes both
        """Stop in order; at the second signal, stop runs as well."""
        # A closed terminal sends SIGHUP more than once: from the shell and from itself.
        is_hangup = signal.Signals(sig).name == signals.HANGUP
        self.stop(at_once=self._engine.is_draining and not is_hangup)

    def stop(self, *, at_once: bool = False) -> None:
        """
        Refuse new prompts once `drain_seconds` are over.

        With `at_once`, they are refused from now on, and runs are stopped as well,
        without their grace period.
        """
        self._engine.is_draining = True
        if at_once and self._task is not None:
            self._engine.stop_accepting(grace=0)
            if self._engine.running:
                self._loop.call_soon_threadsafe(self._task.cancel)
            else:
                self.force_exit = True  # do not wait for clients that do not read
        if at_once or not (self._drain_seconds or self._is_kept):
            self._refuse_prompts()

    def _refuse_prompts(self) -> None:
        self.should_exit = True
        self._engine.stop_accepting()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, then call `when_ready`."""
        await super().startup(sockets)
        if self._tls_port is not None:
            self._tls_port.open()
        await self._when_ready(self._app)

    async def on_tick(self, counter: int) -> bool:
        """Close overdue connections, drain; uvicorn calls this ten times a second."""
        now = self._loop.time()
        if counter % 10 == 0:
            close_overdue(self.server_state.connections, now)
        await super().on_tick(counter)
        if self._engine.is_draining and self._drained_at is None:
            self._begin_to_drain(now)
        if self._drained_at is not None:
            has_left = self._is_kept and not self.server_state.connections
            if has_left or now >= self._drained_at:
                self._refuse_prompts()
        return self.should_exit

    def _begin_to_drain(self, now: float) -> None:
        self._drained_at = now + self._drain_seconds
        # Uvicorn copies the former into the latter once a second.
        self.config.encoded_headers.append(LAST_RESPONSE)
        self.server_state.default_headers.append(LAST_RESPONSE)
        if self._is_kept:
            for server in self.servers:
                server.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Wait for runs to end within their grace period, then close connections.

        Meanwhile all requests but new prompts are served, so that clients get the ends
        of their runs, and load balancers see that this node is not ready.
        """
        await self._engine.close()
        if self._tls_port is not None:
            await self._tls_port.close()
        # Uvicorn would log an error for each request that never arrives completely.
        self._loop.call_later(
            LAST_READS / 2, close_half_requests, self.server_state.connections
        )
        await super().shutdown(sockets)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop if the extra `speed` is installed, else on asyncio."""
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def serve(
    app: FastAPI,
    listener: socket.socket,
    metrics: socket.socket | None = None,
    *,
    when_ready: WhenReady,
    new_server: NewServer = Server,
    until_exit: bool = False,
    manager: Manager | None = None,
) -> None:
    """
    Serve `app` on `listener`, and `/metrics` alone on `metrics`, until a signal.

    What other nodes ask is served on the listener that the application opened for them.

    The lifespan is entered here rather than by uvicorn, which would print errors at the
    start instead of raising them. The listener may be listening already. If the process
    ends after this, it is `until_exit`. The `manager` gets to know when it stops, and
    until then that the event loop runs.

    Raises:
        LlamaKeepError: The application cannot start.
    """
    serving = asyncio.current_task()
    assert serving is not None
    loop = serving.get_loop()
    manager = manager or Manager()
    server: Server | None = None
    is_too_early = False
    reloads = _Reloads(app)

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_too_early
        if server is not None:
            services: Services = app.state.services
            manager.stopping(services.settings.seconds_to_stop)
            server.handle_exit(number, frame)
        else:  # still starting
            is_too_early = True
            loop.call_soon_threadsafe(serving.cancel)

    with signals.handled(stop, reload=reloads.ask, until_exit=until_exit):
        try:
            async with manager.watched(), app.router.lifespan_context(app):
                collect_rarely()
                others: dict[socket.socket, ASGIApp] = {}
                if metrics is not None:
                    others[metrics] = metrics_of(app)
                if app.state.services.for_nodes is not None:
                    for_nodes, listening = app.state.services.for_nodes
                    others[listening.near] = for_nodes
                listeners = [listener, *others]
                for each in listeners:
                    # asyncio sets it only on its own sockets. Without it, a response's
                    # body waits for the client's delayed acknowledgement of its head:
                    # 40 ms.
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = new_server(_config(app, others), app, when_ready)
                reloads.begin()
                await server.serve(listeners)
        except asyncio.CancelledError:
            if not is_too_early:
                raise


class _Reloads:
    """Has `llamakeep.toml` read anew at a signal, which may come during the start."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._has_begun = self._is_wanted = False

    def ask(self, *_: object) -> None:
        """Handle the signal."""
        self._is_wanted = True
        if self._has_begun:
            self._loop.call_soon_threadsafe(reload_upstreams, self._app)

    def begin(self) -> None:
        """Begin, with what came after the file was read for the start."""
        self._has_begun = True
        if self._is_wanted:
            reload_upstreams(self._app)


def reload_upstreams(app: FastAPI, reading: Reading | None = None) -> None:
    """Begin to read `llamakeep.toml` anew, perhaps as another process read it."""
    services: Services = app.state.services
    if services.reloading is not None:
        task = asyncio.create_task(services.reloading.reload(reading))
        _RELOADS.add(task)
        task.add_done_callback(_RELOADS.discard)


def _config(app: FastAPI, others: Mapping[socket.socket, ASGIApp]) -> uvicorn.Config:
    services: Services = app.state.services
    settings = services.settings
    bounds = Bounds(
        header_size=int(settings.max_header_size),
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        write_timeout=settings.write_timeout,
        long_bodies=frozenset(
            (prefix + path).encode()
            for prefix in {"", settings.path_prefix}
            for path in services.long_bodies
        ),
        access_log=services.access_log,
    )
    return uvicorn.Config(
        AppsOnPorts(app, others) if others else app,
        http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, bounds)),
        ws="none",
        proxy_headers=False,  # `api.middleware.forwarded` reads them instead
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=LAST_READS,
    )
