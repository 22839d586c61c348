"""Copies of live runs that other nodes work on, one for each run that is followed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from llamakeep.domain import Run
from llamakeep.engine.live import LiveRun
from llamakeep.errors import StorageUnavailable
from llamakeep.http.errors import HttpError
from llamakeep.nodes.lines import begun_by, receive
from llamakeep.nodes.peers import Peers, lines_in

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes; the first one has the text of an earlier attempt."""

LONGEST_BEGINNING = 5.0
"""Seconds for which a reader waits for a node, until storage is read instead."""

log = logging.getLogger(__name__)


@dataclass
class _Mirror:
    task: "asyncio.Task[None]"
    begun: "asyncio.Future[LiveRun | None]"
    readers: int = 0


class Mirrors:
    """
    Follows runs at the nodes that work on them, each once, however many read along.

    Args:
        peers: The other nodes.
        live: The runs that this node works on.
    """

    def __init__(self, peers: Peers, live: Mapping[str, LiveRun]) -> None:
        self._peers = peers
        self._live = live
        self._mirrors: dict[str, _Mirror] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def mirrored(self, run: Run) -> AsyncIterator[LiveRun | None]:
        """
        Lend a copy of a live run; `None` if its node cannot be reached, or has it not.

        It is lost when its node has ended it, or has it no longer. It is no copy if
        this node has the run by now.
        """
        own = self._live.get(run.id)
        if own is not None and not own.is_lost:
            yield own
            return
        mirror = self._mirrors.get(run.id)
        if mirror is None or mirror.task.done():
            begun = asyncio.get_running_loop().create_future()
            task = self._begin(self._receive(run, begun))
            # Also if it is canceled before it has begun.
            task.add_done_callback(lambda _: _end_waiting(begun))
            mirror = self._mirrors[run.id] = _Mirror(task, begun)
        mirror.readers += 1
        try:
            yield await _soon(mirror.begun)
        finally:
            mirror.readers -= 1
            if not mirror.readers:
                mirror.task.cancel()
                if self._mirrors.get(run.id) is mirror:
                    del self._mirrors[run.id]

    def look_for_cancels(self, run_id: str) -> None:
        """Have the node that works on a run look which ones are to be canceled."""
        self._begin(self._tell(run_id))

    async def close(self) -> None:
        """Follow nothing more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _receive(self, run: Run, begun: "asyncio.Future[LiveRun | None]") -> None:
        live: LiveRun | None = None
        try:
            contact = await self._peers.of_run(run.id)
            if contact is None:
                return
            async with self._peers.ask(contact, "GET", f"/runs/{run.id}") as response:
                async for line in lines_in(response, longest=LONGEST_LINE):
                    if live is None:
                        live = begun_by(run, line)
                        begun.set_result(live)
                    else:
                        receive(live, line)
        except (HttpError, StorageUnavailable) as error:
            log.info("run %s is not followed at its node: %s", run.id, error)
        except Exception:
            log.exception("following run %s at its node fails by a bug", run.id)
        finally:
            if live is not None:
                live.lose()

    async def _tell(self, run_id: str) -> None:
        try:
            contact = await self._peers.of_run(run_id)
            if contact is not None:
                async with self._peers.ask(contact, "POST", "/cancels"):
                    pass
        except (HttpError, StorageUnavailable) as error:
            log.info("the node of run %s looks for cancels later: %s", run_id, error)


def _end_waiting(begun: "asyncio.Future[LiveRun | None]") -> None:
    if not begun.done():
        begun.set_result(None)


async def _soon(begun: "asyncio.Future[LiveRun | None]") -> LiveRun | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_BEGINNING):
            return await asyncio.shield(begun)
    return None
