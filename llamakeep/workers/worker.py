"""A worker process: one of several that serve, each a node."""

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from fastapi import FastAPI

from llamakeep.app import create_app, offer_setup
from llamakeep.errors import LlamaKeepError
from llamakeep.logs import open_access_log, set_up_logging
from llamakeep.metrics.families import Snapshot
from llamakeep.server import (
    Server,
    describe_model,
    reload_upstreams,
    run,
    serve,
)
from llamakeep.storage import location
from llamakeep.workers.channel import LONGEST_LINE, Channel, Facts, of_error
from llamakeep.workers.config import WorkerConfig, unpack, unpack_upstreams
from llamakeep.workers.shared import ParentsModel, RemoteRateLimiter, RemoteThrottle

LAST_SECONDS = 5.0
"""Seconds that a worker may take to stop after its parent has died."""


def work(config: WorkerConfig, *, channel: int, listeners: Sequence[int]) -> None:
    """
    Serve until the parent stops the worker or dies; ends the process.

    The file descriptors are of the sockets to the parent and to listen on: for all, and
    perhaps another one for metrics.
    """
    worker = _Worker(config)
    try:
        sockets = [socket.socket(fileno=each) for each in listeners]
        run(worker.run(socket.socket(fileno=channel), *sockets))
    except asyncio.CancelledError:
        sys.exit(1)  # not all runs had ended
    sys.exit(worker.status)


class _Worker:
    def __init__(self, config: WorkerConfig) -> None:
        self.status = 0
        self._config = config
        self._upstreams = config.upstreams
        self._settings = unpack(config.settings)
        self._app: FastAPI | None = None
        self._server: Server | None = None
        self._task: asyncio.Task[Any] | None = None
        set_up_logging(
            self._settings.log_level,
            log_format=self._settings.log_format,
            with_process=True,
        )

    async def run(
        self,
        line: socket.socket,
        listener: socket.socket,
        metrics: socket.socket | None = None,
    ) -> None:
        self._task = asyncio.current_task()
        stop = partial(
            asyncio.get_running_loop().call_soon_threadsafe,
            self._stop,
            {"at_once": True},
        )
        threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
        reader, writer = await asyncio.open_connection(sock=line, limit=LONGEST_LINE)
        listens = {"stop": self._stop, "reload": self._reload}
        answers = {"count": self._count}
        async with Channel(reader, writer, answers=answers, listens=listens) as channel:
            try:
                await self._serve(channel, listener, metrics)
            except LlamaKeepError as error:
                channel.tell("failed", error=of_error(error))
                self.status = 1

    async def _serve(
        self,
        channel: Channel,
        listener: socket.socket,
        metrics: socket.socket | None,
    ) -> None:
        async def when_ready(app: FastAPI) -> None:
            model = await describe_model(app)
            offered = await offer_setup(app, self._config.setup_token)
            channel.tell(
                "ready",
                model=model,
                data=location(self._settings.database_url),
                node=app.state.services.engine.node_id,
                offers_setup=offered is not None,
            )

        app = self._app = create_app(
            self._settings,
            supervisor=ParentsModel(channel),
            counts=RemoteRateLimiter(channel),
            throttle=RemoteThrottle(channel),
            count_all=partial(channel.ask, "count"),
            dead_nodes=self._config.dead_nodes,
            access_log=open_access_log(self._settings, with_process=True),
            upstreams=unpack_upstreams(self._config.upstreams, self._settings),
        )
        await serve(
            app,
            listener,
            when_ready=when_ready,
            new_server=self._new_server,
            metrics=metrics,
            until_exit=True,
        )

    async def _count(self, _: Facts) -> Snapshot:
        services = getattr(self._app and self._app.state, "services", None)
        return {} if services is None else await services.metrics.count_all()

    def _new_server(self, *arguments: Any) -> Server:
        self._server = _Server(*arguments, is_kept=self._config.is_kept)
        if self._upstreams is not self._config.upstreams:
            self._follow_upstreams()
        return self._server

    def _reload(self, facts: Facts) -> None:
        self._upstreams = facts["upstreams"]
        if self._server is not None:  # else it does so once it is started
            self._follow_upstreams()

    def _follow_upstreams(self) -> None:
        assert self._app is not None
        reading = partial(unpack_upstreams, self._upstreams, self._settings)
        reload_upstreams(self._app, reading)

    def _stop(self, facts: Facts) -> None:
        if self._server is not None:
            self._server.stop(**facts)
        elif self._task is not None:
            self._task.cancel()  # still starting


class _Server(Server):
    """
    A server that never stops at once because of a signal.

    Service managers such as systemd send signals to all processes of a service, and the
    parent passes on its own. Only the parent's message may end runs at once.
    """

    def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002 - uvicorn passes both
        self.stop()


def _end_with_parent(stop: Callable[[], object]) -> None:
    """Stop when standard input ends, since the parent has died then."""
    while os.read(0, 4096):
        pass
    with suppress(RuntimeError):  # the event loop has stopped already
        stop()
    time.sleep(LAST_SECONDS)
    os._exit(1)
