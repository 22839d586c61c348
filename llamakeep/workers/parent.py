"""The parent process, which keeps worker processes running."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from llamakeep import signals
from llamakeep.credentials.tokens import new_setup_token
from llamakeep.errors import LlamaKeepError, OneProcessOnly, WorkerFailed
from llamakeep.limits.rates import OwnCounts
from llamakeep.limits.throttle import LoginThrottle
from llamakeep.metrics.families import Snapshot, merged, monotone
from llamakeep.providers.local.supervisor import LocalSupervisor
from llamakeep.restarts import RestartBackoff
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import read, read_anew, reading_again
from llamakeep.systemd import Manager
from llamakeep.workers.child import Child, Greeting, describe_exit
from llamakeep.workers.config import WorkerConfig, pack, pack_upstreams
from llamakeep.workers.shared import answers
from llamakeep.workers.sockets import Sockets

LAST_SECONDS = 10.0
"""Seconds that a worker may take to stop after the grace period before it is killed."""

WhenReady = Callable[[Greeting, str | None], None]
"""Takes a worker's report, and the set-up token if there are no users."""

log = logging.getLogger(__name__)


def check_can_share(settings: Settings) -> None:
    """
    Check that the database and the platform permit several workers.

    Raises:
        OneProcessOnly: They do not.
    """
    if settings.workers == 1:
        return
    if settings.database_url.startswith("sqlite"):
        raise OneProcessOnly(
            f"There cannot be {settings.workers} workers on SQLite: one process owns "
            "the file. Set LLAMAKEEP_DATABASE_URL to a PostgreSQL database "
            "(postgresql://USER:PASSWORD@HOST/DATABASE), or serve with one worker."
        )
    if sys.platform == "win32":
        raise OneProcessOnly(
            "Workers share their address, which Windows has no way for. Start "
            "several servers with a `--port` of its own each, on the same PostgreSQL "
            "database, and a proxy in front of them."
        )


class Parent:
    """
    Keeps worker processes running until a signal stops it.

    The caller closes `sockets`, and those for `metrics`. Once all workers are ready,
    `when_ready` is called.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sockets,
        when_ready: WhenReady,
        manager: Manager | None = None,
        *,
        metrics: Sockets | None = None,
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._metrics_sockets = metrics
        self._when_ready = when_ready
        self._manager = manager or Manager()
        self._packed = pack(settings)
        self._upstreams: list[str] | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Lock()
        """Held while the file is read: what was read last is the newest."""
        self._setup_token = new_setup_token()
        self._supervisor = LocalSupervisor(settings)
        self._answers = answers(
            self._supervisor, OwnCounts(), LoginThrottle(), self._count_all
        )
        self._counted_before: Snapshot = {}
        """The counters of workers that have ended."""
        self._children: dict[int, Child] = {}
        self._greetings: dict[int, Greeting] = {}
        self._stops = asyncio.Event()
        self._is_at_once = False
        self._is_orderly = True

    async def run(self, *, until_exit: bool = False) -> bool:
        """
        Run until a signal; a second one does not wait for runs.

        Returns:
            Whether all workers stopped in order.

        Raises:
            LlamaKeepError: A worker failed before all were ready; all are stopped.
        """
        loop = asyncio.get_running_loop()

        def stop(number: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._handle_signal, number)

        def reload(*_: object) -> None:
            loop.call_soon_threadsafe(self._begin_reload)

        with signals.handled(stop, reload=reload, until_exit=until_exit):
            async with self._manager.watched():
                return await self._run()

    async def _run(self) -> bool:
        said = await asyncio.to_thread(read, self._settings)
        self._upstreams = pack_upstreams(said)
        numbers = range(1, self._settings.workers + 1)
        places = [asyncio.create_task(self._keep(number)) for number in numbers]
        try:
            await asyncio.wait(places, return_when=asyncio.FIRST_EXCEPTION)
            if not self._stops.is_set():  # because one of them failed
                self._stop(at_once=True)
            await asyncio.wait(places)
        finally:
            await self._supervisor.close()
        # Of each: asyncio logs an exception that nothing has asked for.
        failures = [place.exception() for place in places]
        for failure in filter(None, failures):
            raise failure
        return self._is_orderly

    def _handle_signal(self, number: int) -> None:
        # A closed terminal sends SIGHUP more than once: from the shell and from itself.
        is_hangup = signal.Signals(number).name == signals.HANGUP
        self._stop(at_once=self._is_at_once or (self._stops.is_set() and not is_hangup))

    def _begin_reload(self) -> None:
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        """Have all workers follow the file, also those that are started later."""
        async with self._reading:
            path = Path(self._upstreams[0]) if self._upstreams else None
            said = await read_anew(reading_again(self._settings, path))
            if said is not None:
                self._upstreams = pack_upstreams(said)
                for child in self._children.values():
                    child.reload(self._upstreams)

    def _stop(self, *, at_once: bool) -> None:
        grace = 0 if at_once else self._settings.seconds_to_stop
        self._manager.stopping(grace)
        self._stops.set()
        self._is_at_once = at_once
        for child in self._children.values():
            child.stop(at_once=at_once)
        asyncio.get_running_loop().call_later(grace + LAST_SECONDS, self._kill)

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()

    async def _keep(self, number: int) -> None:
        pauses = RestartBackoff()
        dead_nodes: list[str] = []
        while not self._stops.is_set():
            pauses.begin()
            end, failure = await self._live(number, dead_nodes)
            if self._stops.is_set():
                return
            if not self._is_ready:
                raise failure or WorkerFailed(
                    f"Worker {number} {end}, so nothing is served. What it said is "
                    "above."
                )
            pauses.died()
            log.warning(
                "worker %d %s%s; another one is started%s",
                number,
                end,
                f": {failure.detail}" if failure else "",
                f" in {pauses.left:.0f} s" if pauses.left else "",
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(pauses.left):
                    await self._stops.wait()

    async def _live(
        self, number: int, dead_nodes: list[str]
    ) -> tuple[str, LlamaKeepError | None]:
        """Run a worker; return how it ended, and why it could not start, if so."""
        config = WorkerConfig(
            sys.path,
            self._packed,
            self._setup_token,
            list(dead_nodes),
            upstreams=self._upstreams,
            is_kept=self._sockets.is_kept,
        )
        try:
            child = await Child.start(
                config, self._listeners(), self._answers, self._greet(number)
            )
        except OSError as error:  # too many processes or open files
            return f"could not be started ({error.strerror})", None
        self._children[number] = child
        if self._upstreams is not config.upstreams:  # they were read anew meanwhile
            child.reload(self._upstreams)
        if self._stops.is_set():
            child.stop(at_once=self._is_at_once)
        status = await child.ended()
        del self._children[number]
        before = self._counted_before, monotone(child.counted)
        self._counted_before = merged(before)
        if child.greeting is not None:
            dead_nodes[:] = [child.greeting.node]
            if self._stops.is_set() and status != 0:
                self._is_orderly = False
        return f"(pid {child.pid}) {describe_exit(status)}", child.failure

    def _listeners(self) -> list[socket.socket]:
        sockets = filter(None, (self._sockets, self._metrics_sockets))
        return [each.for_worker() for each in sockets]

    async def _count_all(self) -> Snapshot:
        """
        Return the metrics of all workers together.

        What a worker counted after the last time is lost when it dies; counters never
        become smaller.
        """
        counting = [each.count() for each in self._children.values()]
        counted = await asyncio.gather(*counting)
        return merged([self._counted_before, *counted])

    @property
    def _is_ready(self) -> bool:
        return len(self._greetings) == self._settings.workers

    def _greet(self, number: int) -> Callable[[Greeting], None]:
        def greet(greeting: Greeting) -> None:
            was_ready = self._is_ready
            self._greetings[number] = greeting
            if self._is_ready and not was_ready:
                token = self._setup_token if greeting.offers_setup else None
                self._when_ready(greeting, token)

        return greet
