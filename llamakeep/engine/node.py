"""One process's share of the work: the runs it holds."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from llamakeep.domain import Run, RunStatus, new_id
from llamakeep.engine.context import is_little
from llamakeep.engine.gate import Gates
from llamakeep.engine.live import LiveRun
from llamakeep.engine.recovery import Recovery
from llamakeep.engine.refusals import stopped_in_between
from llamakeep.engine.slots import Slot, Slots
from llamakeep.engine.stopping import Stopping
from llamakeep.engine.upkeep import Upkeep
from llamakeep.engine.worker import Worker, interruption
from llamakeep.errors import (
    LlamaKeepError,
    NoProvider,
    OutcomeUnknown,
    RunCanceled,
    RunInterrupted,
    ServerBusy,
    StorageUnavailable,
    TooManyWaiting,
)
from llamakeep.providers.base import Provider, goes_on
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.quotas import Quota
from llamakeep.storage.runs.steps import IdempotencyKey

TICK = 10
"""Seconds between two signs of life to those who follow a silent run."""

INDEXING_PAUSE = 1
"""Seconds after which some more finished runs are indexed, if any are left to."""

STORING_PAUSES = (0.1, 0.5, 1.0)
"""Seconds before each try to store a prompt of which it is not known whether it is."""

LAST_WRITES = 2
"""Seconds that ends of runs may take to be written when the process stops."""

log = logging.getLogger(__name__)


class Node:
    """Works on runs; whatever it holds, `live` has."""

    def __init__(
        self, settings: Settings, storage: Storage, registry: Registry
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        self.is_closed = False
        """Whether it works on nothing any more."""
        self._id = new_id("node_")
        self._settings = settings
        self._storage = storage
        self._registry = registry
        self._stopping = Stopping(settings)
        self.gates = Gates(settings, storage, registry.reattachable)
        self._worker = Worker(
            settings, storage, registry, self.gates, self._stopping, node=self._id
        )
        self._slots = Slots(settings.max_running)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deadline: float | None = None
        self._recovery = Recovery(
            settings,
            storage,
            self._id,
            live=self.live,
            tasks=self._tasks,
            begin=self._begin,
            cancel=self.cancel,
            lose=self._lose,
        )
        self._upkeep = Upkeep(
            settings,
            storage,
            self.gates,
            self.live,
            abandon=self._abandon,
            tick=TICK,
            indexing_pause=INDEXING_PAUSE,
        )

    @property
    def id(self) -> str:
        """Under which name it holds runs."""
        return self._id

    @property
    def has_runs(self) -> bool:
        """Whether runs are worked on, or wait for their turn."""
        return bool(self._tasks)

    @property
    def is_stopping(self) -> bool:
        """Whether new prompts are refused."""
        return self._deadline is not None

    async def open(self, *, take_over: bool = True) -> None:
        """Take over what is left of earlier processes, and begin to look after runs."""
        try:
            await self.gates.refresh()
        except StorageUnavailable as error:
            log.warning("gates are taken to be open: %s", error.detail)
        await self._recovery.open(take_over=take_over)
        self._upkeep.open()

    def stop_accepting(self, *, grace: float | None = None) -> None:
        """Begin the grace, or set it anew."""
        if self._deadline is None and grace is None:
            grace = self._settings.shutdown_grace
        if grace is not None:
            self._deadline = time.monotonic() + grace

    async def close(self) -> None:
        """Give runs the rest of the grace, then stop them so that they can go on."""
        self.stop_accepting()
        assert self._deadline is not None
        await self._recovery.stop_taking_over()
        if self._tasks:
            grace = max(0.0, self._deadline - time.monotonic())
            await asyncio.wait(self._tasks.values(), timeout=grace)
        self._registry.let_go()
        for run_id, task in self._tasks.items():
            if run_id not in self.live or not self.live[run_id].is_closing:
                task.cancel()
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks.values(), timeout=LAST_WRITES)
            for task in stuck:
                task.cancel()
            if stuck:
                await asyncio.wait(stuck, timeout=LAST_WRITES)
        await self._stopping.close()
        await self._upkeep.close()
        await self._recovery.close()
        self.is_closed = True
        if not self._storage.is_sole_owner:
            await self._release()

    async def _release(self) -> None:
        """Let others take over what is left at their next look."""
        try:
            async with asyncio.timeout(LAST_WRITES):
                await self._storage.let_go([self._id])
        except (StorageUnavailable, TimeoutError) as error:
            log.warning("leases run out by themselves: %s", error)

    async def accept(
        self,
        run: Run,
        provider: Provider,
        earlier: Sequence[Run],
        idempotency_key: IdempotencyKey | None,
        *,
        quotas: Sequence[Quota] = (),
        is_followed: bool,
    ) -> Run:
        """
        Store `run` and work on it, whatever becomes of the caller from here on.

        It is stored as `queued` if it cannot be started at once.

        Raises:
            LimitReached: A quota has less left than the run may take.
            ServerBusy: The queue is full; nothing was stored.
            TooManyWaiting: The user's part of it is; nothing was stored.
        """
        limit = self._settings.max_running + self._settings.max_queued
        if len(self._tasks) >= limit:
            raise ServerBusy(
                f"{limit} prompts are being answered or waiting already; nothing was "
                "stored. Try again in a moment.",
                retry_after=1,
            )
        can_start = self._slots.has_free and not self.gates.is_closed_for(run)
        if not can_start:
            self._check_share(run.user_id)
            run = replace(run, status=RunStatus.QUEUED, attempt=0, started_at=None)
        slot = Slot(self._slots, run.user_id)
        if can_start:
            slot.take()
        # While many wait, much is better read again when it is their turn.
        known = earlier if can_start or is_little(earlier) else None
        accepted: asyncio.Future[Run] = asyncio.get_running_loop().create_future()

        async def carry() -> None:
            try:
                live = await self._keep(run, idempotency_key, quotas, accepted)
                if live is not None:
                    await self._worker.work(
                        live,
                        provider,
                        slot=slot,
                        earlier=known,
                        is_followed=is_followed,
                    )
            finally:
                slot.leave()

        self._start(run.id, carry)
        return await accepted

    def cancel(self, run_id: str) -> None:
        """Stop a run if it is this node's; its text so far is kept."""
        live = self.live.get(run_id)
        if live is not None and not live.is_closing:
            live.run = replace(live.run, cancel_requested=True)
            self._tasks[run_id].cancel()

    def look_for(self, run_id: str) -> None:
        """Look whether a run was left that this process does not work on."""
        if run_id not in self._tasks:
            self._recovery.look_for(run_id)

    def expects(self, run_id: str) -> bool:
        """Return whether a hint about a run is of use here."""
        return run_id in self.live or self._stopping.expects(run_id)

    def hint(self, run_id: str, handle: str) -> None:
        """Let whoever waits for a run's answer look where it may be."""
        live = self.live.get(run_id)
        if live is not None:
            live.hints.give(handle)
            provider = self._registry.provider(live.run.provider)
            if goes_on(provider):
                provider.hint(handle)
        self._stopping.hint(run_id, handle)

    def _check_share(self, user_id: str) -> None:
        """Keep room in the queue for others, whatever one user sends."""
        share = max(1, self._settings.max_queued // 2)
        if self._slots.waiting(user_id) >= share:
            raise TooManyWaiting(
                f"{share} of your prompts are waiting already, which is your part of "
                "the queue; nothing was stored. Try again when some are answered.",
                retry_after=1,
            )

    async def _keep(
        self,
        run: Run,
        idempotency_key: IdempotencyKey | None,
        quotas: Sequence[Quota],
        accepted: asyncio.Future[Run],
    ) -> LiveRun | None:
        """Store `run` and tell so, unless its key shows that it was before."""
        live: LiveRun | None = None
        try:
            try:
                stored = await self._storage.accept(
                    run,
                    node=self._id,
                    lease=self._settings.lease,
                    idempotency_key=idempotency_key,
                    quotas=quotas,
                )
            except OutcomeUnknown as unknown:
                stored = await self._store_again(run, idempotency_key, quotas, unknown)
        except BaseException as error:
            if not accepted.done():  # else the caller has left
                accepted.set_exception(
                    error if isinstance(error, Exception) else stopped_in_between()
                )
            if isinstance(error, OutcomeUnknown):
                self._recovery.look_soon()
            if not isinstance(error, Exception):
                raise
        else:
            if stored.id == run.id:
                self.live[run.id] = live = LiveRun(run)
            if not accepted.done():
                accepted.set_result(stored)
        return live

    async def _store_again(
        self,
        run: Run,
        idempotency_key: IdempotencyKey | None,
        quotas: Sequence[Quota],
        unknown: OutcomeUnknown,
    ) -> Run:
        """
        Find out whether `run` was stored, and store it otherwise.

        Raises:
            OutcomeUnknown: That cannot be found out now.
        """
        for pause in STORING_PAUSES:
            await asyncio.sleep(pause)
            with suppress(StorageUnavailable):
                return await self._storage.accept(
                    run,
                    node=self._id,
                    lease=self._settings.lease,
                    idempotency_key=idempotency_key,
                    quotas=quotas,
                    may_be_stored=True,
                )
        raise unknown

    def _start(self, run_id: str, work: Callable[[], Awaitable[None]]) -> None:
        async def until_done() -> None:
            is_done = False
            try:
                await work()
                is_done = True
            except Exception:
                log.exception("run %s was dropped by a bug", run_id)
                self._recovery.failed(run_id)
            finally:
                live = self.live.pop(run_id, None)
                del self._tasks[run_id]
                if live is not None:
                    is_done = is_done and not live.is_lost
                    if not live.is_over and live.trouble is None:
                        live.lose()  # no client is left waiting here
                if self._recovery.begun or not is_done:
                    self._recovery.ended(run_id, is_done=is_done)

        self._tasks[run_id] = asyncio.create_task(until_done())

    def _lose(self, run_id: str) -> None:
        """Stop working on a run that another process has now."""
        live = self.live[run_id]
        log.warning("run %s is another process's now", run_id)
        live.lose()
        run = live.run
        # An answer that goes on without us is the other's, too: it is not to be
        # canceled, and what is found to belong to no run is.
        with suppress(NoProvider):
            if run.status is not RunStatus.QUEUED and goes_on(
                self._registry.provider(run.provider)
            ):
                return
        self._abandon(run_id)

    def _abandon(self, run_id: str) -> None:
        if (task := self._tasks.get(run_id)) is not None:
            task.cancel()

    def _begin(self, run: Run) -> None:
        """Go on with, or close, a run that no process held any more."""
        self.live[run.id] = live = LiveRun(run)
        self._start(run.id, self._going_on(live))

    def _going_on(self, live: LiveRun) -> Callable[[], Awaitable[None]]:
        slot = Slot(self._slots, live.run.user_id)

        async def work() -> None:
            try:
                provider = self._provider_for(live.run)
            except LlamaKeepError as error:
                live.is_closing = True  # another cancel would leave it to nobody
                if live.run.cancel_requested:
                    await self._cancel_upstream(live)
                await self._worker.finish(live, error)
            else:
                await self._worker.work(live, provider, slot=slot)
            finally:
                slot.leave()

        return work

    async def _cancel_upstream(self, live: LiveRun) -> None:
        run = live.run
        with suppress(LlamaKeepError):
            provider = self._registry.provider(run.provider)
            if run.handle is not None and goes_on(provider):
                await provider.cancel(run.handle)
            elif run.status is not RunStatus.QUEUED:
                self._stopping.begin(live, provider)

    def _provider_for(self, run: Run) -> Provider:
        """
        Return who answers a run that was left.

        Raises:
            RunCanceled: It was to be canceled.
            RunInterrupted: It may not be run again.
        """
        if run.cancel_requested:
            raise RunCanceled("The run was canceled; the text so far is kept.")
        try:
            provider = self._registry.provider(run.provider)
        except NoProvider as error:
            raise RunInterrupted(
                f"The server stopped before the answer was there. {error.detail}"
            ) from error
        if not self._worker.may_run_again(run, provider):
            raise interruption()
        return provider
