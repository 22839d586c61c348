"""Background tasks that all runs of a process share, such as writing their texts."""

import time

from llamakeep.engine.recovery.orphans import is_wanted
from llamakeep.engine.runner import Runner
from llamakeep.repeated import Repeated
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.steps import Attached

WRITTEN_PER_SECOND = 256 * 1024
"""
Characters of one run that are written in a second at most.

Each write is of the whole text, so a long one is written less often: one of 4 Mi
characters every 16 seconds.
"""

REINDEXING_PAUSE = 60.0
"""Seconds until the next look for what a server of an earlier version has indexed."""


class Upkeep:
    """
    Tasks that repeat what all runs of a process need; none of them waits for another.

    Those who follow a silent run get a sign of life every `tick` seconds; some more
    finished runs are indexed every `indexing_pause` seconds.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        runner: Runner,
        *,
        tick: float,
        indexing_pause: float,
    ) -> None:
        self._storage = storage
        self._runner = runner
        self._live = runner.live
        every = settings.flush_interval
        self._tasks = [
            Repeated("keeping the texts so far", self._flush, every=every),
            Repeated("attaching answers", self._attach, every=every),
            Repeated("showing signs of life", self._tick, every=max(tick, every)),
        ]
        pause = max(indexing_pause, every)
        self._reindexing_at = 0.0
        """When to look for runs that an earlier version has indexed."""
        if storage.is_sole_owner:  # shared databases index what ends by themselves
            index = Repeated("indexing", self._index, every=pause)
            self._tasks.append(index)
        else:
            look = runner.circuits.upstreams.refresh
            refresh = Repeated("looking at the circuits", look, every=every)
            reindex = Repeated("indexing older runs", self._reindex, every=pause)
            self._tasks += [refresh, reindex]

    def open(self) -> None:
        """Begin."""
        for task in self._tasks:
            task.open()

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            await task.close()

    async def _tick(self) -> None:
        for live in self._live.values():
            live.tick()

    async def _index(self) -> None:
        await self._storage.index_finished()

    async def _reindex(self) -> None:
        now = time.monotonic()
        if now >= self._reindexing_at and not await self._storage.reindex_some():
            self._reindexing_at = now + REINDEXING_PAUSE

    async def _attach(self) -> None:
        """
        Keep handles that could not be kept when their answers began.

        Where the run is another server's meanwhile, the answer is stopped as soon as it
        is known that this server has another one.
        """
        for run_id, live in tuple(self._live.items()):
            handle = live.owed_handle
            if handle is None or live.is_closing or (live.is_over and not live.is_lost):
                continue
            attached = await self._storage.attach(live.run, handle)
            if attached is Attached.LOST and not live.is_closing:
                live.lose()
                wanted = await is_wanted(self._storage, live.run, handle)
                if wanted is None:
                    continue
                if wanted is False and self._live.get(run_id) is live:
                    self._runner.abandon(run_id)
            live.owed_handle = None

    async def _flush(self) -> None:
        now = time.monotonic()
        due = [
            live
            for live in self._live.values()
            if live.length > live.written_length
            and live.is_worth_keeping
            and not live.is_over
            and now - live.written_at >= live.written_length / WRITTEN_PER_SECOND
        ]
        if not due:
            return
        lengths = [live.length for live in due]
        await self._storage.flush([live.snapshot() for live in due])
        for live, length in zip(due, lengths, strict=True):
            if live.feed is not None and not live.written_length:
                live.feed.changed(live.run.id)
            live.written_length, live.written_at = length, now
