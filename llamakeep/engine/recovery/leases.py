"""Renew this node's lease, and take over runs that no process works on."""

import asyncio
import logging
from collections import ChainMap, Counter
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from llamakeep.domain import Run, RunStatus
from llamakeep.engine.live import LiveRun
from llamakeep.engine.recovery.dropped import Dropped
from llamakeep.engine.recovery.lateness import Lateness
from llamakeep.engine.recovery.nodes import NodeWatch
from llamakeep.errors import StorageUnavailable
from llamakeep.metrics.families import Series
from llamakeep.repeated import Repeated
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.nodes import Contact

SOON = 1.0
"""Seconds after which it is looked for a run that got lost in this process."""

LAST_WRITES = 2
"""Seconds that it may take to release the lease when the process stops."""

CANCELED_AT_ONCE = 64
"""Left runs that are to be canceled and taken up at once: they need no slot."""

log = logging.getLogger(__name__)


class Recovery:
    """
    Renews this process's lease, and takes up runs that no process works on.

    These are two tasks: what the one waits for does not delay the other. The runs in
    `live` have a task here, also while they are being stored.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        node: str,
        *,
        live: MutableMapping[str, LiveRun],
        begin: Callable[[Run], None],
        cancel: Callable[[str], None],
        lose: Callable[[str], None],
        taken_over: Series,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._node = node
        self._live = live
        self._begin = begin
        self._cancel = cancel
        self._lose = lose
        self._taken_over = taken_over
        self.contact: Contact | None = None
        """How other nodes reach this one, if they do."""
        self.begun: set[str] = set()
        """Runs that were taken up, and have not ended."""
        self._few = max(1, settings.max_running // 8)
        self._last_user = ""
        self._are_more = False
        self._taken_up_at = 0.0
        every = settings.lease / 4
        self._dropped = Dropped(every)
        self._one_at_a_time = asyncio.Lock()
        self._lateness = Lateness(settings.lease)
        self._renewing = Repeated("renewing the lease", self.renew, every=every)
        self._looking = Repeated("taking over runs", self._take_over, every=every)
        self._watch = NodeWatch(
            storage,
            node,
            renew=self._renewing.wake,
            take_over=self._looking.wake,
        )

    async def open(self, *, take_over: bool) -> None:
        """Begin; take up at once what earlier processes left, if that is wanted."""
        await self._renewing.once()
        self._renewing.open()
        if not self._storage.is_sole_owner:
            await self._watch.open()
        if take_over:
            await self._looking.once()
            self._looking.open()

    async def stop_taking_over(self) -> None:
        """Take up nothing more."""
        await self._looking.close()

    async def close(self) -> None:
        """Stop holding on; let other nodes take over what is left, if they can."""
        await self._looking.close()
        await self._renewing.close()
        if not self._storage.is_sole_owner:
            await release_leases(self._storage, self._node, within=LAST_WRITES)
            await self._watch.close()

    def is_late(self) -> bool:
        """Return whether another node may have this one's runs: it was frozen."""
        return self._lateness.is_late()

    async def renew(self) -> None:
        """
        Renew this node's lease, and lose the runs that others have taken over.

        Raises:
            StorageUnavailable: It was not renewed, or that is not known.
        """
        wanted_at = self._lateness.now()
        async with self._one_at_a_time:
            if self._lateness.renewed_at >= wanted_at:
                return  # another one began, and ended, while this one waited
            since = self._lateness.now()
            await self._renew()
            self._lateness.renewed_at = since

    def look_for(self, run_id: str) -> None:
        """Look now for a run that no task works on, and for others."""
        self._dropped.wake(run_id)
        self._looking.wake()

    def failed(self, run_id: str) -> None:
        """
        Take note that a run could not be closed by a bug.

        This process holds on to it, and tries again after a pause that grows.
        """
        self._dropped.add(run_id)

    def ended(self, run_id: str, *, is_done: bool) -> None:
        """
        Take note that a task has ended, if it is one of `begun` or not done.

        If its end was not written, the run is looked for soon.
        """
        self.begun.discard(run_id)
        if is_done:
            self._dropped.discard(run_id)
        if self._are_more and self._room() >= self._few:
            self._looking.wake()
        if not is_done:
            self.look_soon()

    def look_soon(self) -> None:
        """Look within a second, but not all the time for what fails again and again."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._taken_up_at > self._settings.lease / 4:
            self._taken_up_at = loop.time()
            loop.call_later(SOON, self._looking.wake)

    async def _renew(self) -> None:
        is_known = await self._storage.renew(self._node, lease=self._settings.lease)
        resting = self._dropped.resting()
        if is_known and not (self._live or resting):
            return
        working_on = [
            (live, live.run.attempt)
            for live in self._live.values()
            if live.is_stored and not live.is_closing
        ]
        if is_known:
            held = await self._storage.held_runs(self._node)
        else:
            if self._lateness.has_begun:
                log.warning("this server was taken for dead: it gave no sign of life")
            held = await self._storage.join(
                self._node, lease=self._settings.lease, contact=self.contact
            )
            for live in self._live.values():
                live.is_doubtful = not live.is_stored
        found = {row.run_id: row.attempt for row in held}
        for live, attempt in working_on:
            self._check_held(live, attempt, found.get(live.run.id))
        for run_id in resting:
            if run_id not in found:
                self._dropped.discard(run_id)
        for row in held:
            if row.cancel_requested:
                self._cancel(row.run_id)
                self._dropped.wake(row.run_id)

    def _check_held(self, live: LiveRun, before: int, attempt: int | None) -> None:
        """Lose a run that is in another attempt than this process's."""
        is_here = self._live.get(live.run.id) is live
        if not is_here or live.is_closing or live.is_over:
            return
        mine = {before, live.run.attempt}
        if live.run.status is RunStatus.QUEUED:
            mine.add(before + 1)  # it is being claimed
        if attempt not in mine:
            self._lose(live.run.id)

    async def _take_over(self) -> None:
        """Take over runs that were left, as many as there are free slots."""
        room = self._room()
        # What is accepted while this waits for the database is in there, too.
        mine = ChainMap[str, Any](self._live, dict.fromkeys(self._dropped.resting()))
        taken = await self._storage.take_over(
            self._node,
            most=room or CANCELED_AT_ONCE,
            only_canceled=not room,
            after_user=self._last_user,
            working_on=mine,
        )
        for run in taken:
            log.warning("run %s was left by its process", run.id)
            self._taken_over.add()
            self.begun.add(run.id)
            self._begin(run)
        if room:
            self._are_more = len(taken) == room
            self._last_user = last_turn(taken, self._last_user)

    def _room(self) -> int:
        """
        Return how many more runs this process can take up.

        A process that has more than enough to do takes up a few all the same: it may be
        the only one that can.
        """
        free = self._settings.max_running - len(self._live)
        return free if free > 0 else max(0, self._few - len(self.begun))


async def release_leases(storage: Storage, node: str, *, within: float) -> None:
    """Let other processes have what this one works on, if the database permits."""
    try:
        async with asyncio.timeout(within):
            await storage.release_leases([node])
    except (StorageUnavailable, TimeoutError) as error:
        log.warning("the lease runs out by itself: %s", error)


def last_turn(taken: Sequence[Run], before: str) -> str:
    """Return which user's turn was the last of `taken`, the first after `before`."""
    counts = Counter(run.user_id for run in taken)
    rounds = max(counts.values(), default=0)
    last = [user_id for user_id, count in counts.items() if count == rounds]
    return max(last, key=lambda user_id: (user_id <= before, user_id), default=before)
