"""One process's share of the work: the runs it holds, and how they get done."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from llamakeep.domain import Message, Run, RunStatus, new_id, utc_now
from llamakeep.errors import (
    LlamaKeepError,
    NoProvider,
    ProviderTimeout,
    RunCanceled,
    RunFailed,
    RunInterrupted,
    ServerStopping,
    StorageUnavailable,
)
from llamakeep.keeper.live import LiveRun
from llamakeep.providers.base import CompletionRequest, Provider
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs import IdempotencyKey

TICK = 10
"""Seconds between two signs of life to those who follow a silent run."""

LAST_WRITES = 2
"""Seconds that ends of runs may take to be written when the process stops."""

log = logging.getLogger(__name__)


class Node:
    """Works on runs; whatever it holds, `live` has."""

    def __init__(
        self, settings: Settings, storage: Storage, registry: Registry
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        self._id = new_id("node_")
        self._settings = settings
        self._storage = storage
        self._registry = registry
        self._slots = asyncio.Semaphore(settings.max_running)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._canceled: set[str] = set()
        self._takes_over = True
        self._deadline: float | None = None
        self._heart: asyncio.Task[None] | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether new prompts are refused."""
        return self._deadline is not None

    async def open(self, *, take_over: bool = True) -> None:
        """Take over what is left of earlier processes, and keep the heart beating."""
        self._takes_over = take_over
        if take_over:
            await self._take_over()
        self._heart = asyncio.create_task(self._beat())

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
        if self._tasks:
            grace = max(0.0, self._deadline - time.monotonic())
            await asyncio.wait(self._tasks.values(), timeout=grace)
        for run_id, task in self._tasks.items():
            if run_id not in self.live or not self.live[run_id].is_closing:
                task.cancel()
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks.values(), timeout=LAST_WRITES)
            for task in stuck:
                task.cancel()
        if self._heart is not None:
            self._heart.cancel()
            with suppress(asyncio.CancelledError):
                await self._heart

    async def accept(
        self,
        run: Run,
        provider: Provider,
        messages: Sequence[Message],
        idempotency_key: IdempotencyKey | None,
    ) -> Run:
        """Store `run` and work on it, whatever becomes of the caller from here on."""
        if not self._slots.locked():
            run = replace(
                run, status=RunStatus.STARTING, attempt=1, started_at=run.created_at
            )
        accepted: asyncio.Future[Run] = asyncio.get_running_loop().create_future()

        async def carry() -> None:
            try:
                stored = await self._storage.accept(
                    run,
                    node=self._id,
                    lease=self._settings.lease,
                    idempotency_key=idempotency_key,
                )
            except BaseException as error:
                if not accepted.done():  # else the caller has left
                    accepted.set_exception(
                        error if isinstance(error, Exception) else ServerStopping()
                    )
                if isinstance(error, Exception):
                    return
                raise
            if stored.id == run.id:
                self.live[run.id] = LiveRun(run)
            if not accepted.done():
                accepted.set_result(stored)
            if stored.id == run.id:
                await self._work(self.live[run.id], provider, messages)

        self._start(run.id, carry)
        return await accepted

    def cancel(self, run_id: str) -> None:
        """Stop a run if it is this node's; its text so far is kept."""
        live = self.live.get(run_id)
        if live is not None and not live.is_closing:
            self._canceled.add(run_id)
            self._tasks[run_id].cancel()

    def _start(self, run_id: str, work: Callable[[], Awaitable[None]]) -> None:
        async def until_done() -> None:
            try:
                await work()
            finally:
                self.live.pop(run_id, None)
                self._tasks.pop(run_id, None)
                self._canceled.discard(run_id)

        self._tasks[run_id] = asyncio.create_task(until_done())

    async def _work(
        self, live: LiveRun, provider: Provider, messages: Sequence[Message]
    ) -> None:
        """Have a run answered, and close it with what became of it."""
        error: LlamaKeepError | None = None
        try:
            async with self._slots:
                await self._answer(live, provider, messages)
        except LlamaKeepError as failure:
            error = failure
        except asyncio.CancelledError:
            if live.run.id not in self._canceled:
                await self._leave(live, provider)
                return
            error = RunCanceled("The run was canceled; the text so far is kept.")
        except Exception:
            log.exception("run %s failed by a bug", live.run.id)
            error = RunFailed()
        await self._finish(live, error)

    async def _answer(
        self, live: LiveRun, provider: Provider, messages: Sequence[Message]
    ) -> None:
        run = live.run
        if run.status is RunStatus.QUEUED:
            if not await self._storage.claim(run, lease=self._settings.lease):
                live.lose()
                return
            live.run = run = replace(
                run,
                status=RunStatus.STARTING,
                attempt=run.attempt + 1,
                started_at=utc_now(),
            )
        request = CompletionRequest(
            run_id=run.id,
            attempt=run.attempt,
            model=run.model,
            messages=messages,
            parameters=run.parameters,
        )
        try:
            async with (
                asyncio.timeout(self._settings.run_timeout),
                aclosing(provider.answer(request)) as events,
            ):
                async for event in events:
                    live.receive(event)
        except TimeoutError as error:
            raise ProviderTimeout(
                f"The run was not done after {self._settings.run_timeout:g} seconds; "
                "the text so far is kept."
            ) from error

    async def _finish(self, live: LiveRun, error: LlamaKeepError | None) -> None:
        """Close a run, trying until the database takes it."""
        if live.is_lost:
            return
        live.is_closing = True
        run = _ended(live, error)
        pause = 0.1
        while True:
            try:
                is_mine = await self._storage.finish(run)
            except StorageUnavailable as trouble:
                live.fail(
                    StorageUnavailable(
                        "The answer is there, but cannot be kept yet; it is written as "
                        f"soon as that is possible. {trouble.detail}",
                        retry_after=5,
                    )
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5)
            else:
                break
        if is_mine:
            live.hand_over(run)
        else:
            live.lose()

    async def _leave(self, live: LiveRun, provider: Provider) -> None:
        """Stop working on a run because the server stops."""
        if self._may_run_again(live.run, provider):
            with suppress(StorageUnavailable):
                await self._storage.flush([live.snapshot()])
            live.fail(
                ServerStopping(
                    "The server is shutting down. Your prompt is kept, and answered "
                    "when it is back.",
                    retry_after=5,
                )
            )
        else:
            await self._finish(live, _interruption())

    async def _take_over(self) -> None:
        """Go on with, or close, the runs that nobody holds any more."""
        taken = await self._storage.take_over(self._id, lease=self._settings.lease)
        for run in taken:
            log.warning("run %s was left %s by another process", run.id, run.status)
            if run.cancel_requested:
                await self._close(run, RunStatus.CANCELED, RunCanceled())
                continue
            try:
                provider = self._registry.provider(run.provider)
            except NoProvider as error:
                await self._close(run, RunStatus.INTERRUPTED, error)
                continue
            if not self._may_run_again(run, provider):
                await self._close(run, RunStatus.INTERRUPTED, _interruption())
                continue
            self.live[run.id] = live = LiveRun(run)
            self._start(run.id, self._again(live, provider))

    def _again(
        self, live: LiveRun, provider: Provider
    ) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            run = live.run
            assert run.conversation_id is not None
            earlier = await self._storage.conversation(
                run.user_id, run.conversation_id, before=run.id
            )
            await self._work(live, provider, messages(run, earlier))

        return work

    def _may_run_again(self, run: Run, provider: Provider) -> bool:
        if run.status is RunStatus.QUEUED:
            return True  # the provider has not heard of it
        if self._settings.retry_interrupted is not None:
            return self._settings.retry_interrupted
        return provider.is_free

    async def _close(self, run: Run, status: RunStatus, error: LlamaKeepError) -> None:
        known = run.common_length
        await self._storage.finish(
            replace(
                _failed(run, status, error),
                common_length=len(run.response) if known is None else known,
            )
        )

    async def _beat(self) -> None:
        """Write texts as they come, hold on to the runs, and look for lost ones."""
        every = self._settings.flush_interval
        ticked = renewed = time.monotonic()
        written: dict[str, int] = {}
        while True:
            await asyncio.sleep(every)
            try:
                if time.monotonic() - ticked >= TICK:
                    ticked = time.monotonic()
                    for live in self.live.values():
                        live.tick()
                written = await self._flush(written)
                if time.monotonic() - renewed >= self._settings.lease / 4:
                    renewed = time.monotonic()
                    await self._renew()
            except StorageUnavailable as error:
                log.warning("the texts so far cannot be kept: %s", error.detail)
            except Exception:
                log.exception("the heart missed a beat")

    async def _flush(self, written: dict[str, int]) -> dict[str, int]:
        lengths = {run_id: len(live.text) for run_id, live in self.live.items()}
        texts = [
            live.snapshot()
            for run_id, live in self.live.items()
            if lengths[run_id] > written.get(run_id, 0) and not live.is_over
        ]
        if texts:
            await self._storage.flush(texts)
        return lengths

    async def _renew(self) -> None:
        if self.live:
            held = await self._storage.renew(self._id, lease=self._settings.lease)
            for row in held:
                if row.cancel_requested:
                    self.cancel(row.run_id)
        if self._takes_over and not self._storage.is_sole_owner:
            await self._take_over()


def messages(run: Run, earlier: Sequence[Run]) -> Sequence[Message]:
    """Return what a provider is to read: the conversation, then the prompt."""
    said = [] if run.system_prompt is None else [Message("system", run.system_prompt)]
    for one in earlier:
        said.append(Message("user", one.prompt))
        said.append(Message("assistant", one.response))
    return (*said, Message("user", run.prompt))


def _ended(live: LiveRun, error: LlamaKeepError | None) -> Run:
    """Return the run as it is to be closed."""
    if error is None:
        return live.succeeded()
    if isinstance(error, RunCanceled):
        status = RunStatus.CANCELED
    elif isinstance(error, RunInterrupted):
        status = RunStatus.INTERRUPTED
    else:
        status = RunStatus.FAILED
    log.info("run %s %s: %s", live.run.id, status, error.code, exc_info=error)
    return _failed(live.snapshot(), status, error)


def _failed(run: Run, status: RunStatus, error: LlamaKeepError) -> Run:
    return replace(
        run,
        status=status,
        error_code=error.code,
        error_detail=error.detail,
        finished_at=utc_now(),
    )


def _interruption() -> RunInterrupted:
    return RunInterrupted(
        "The server stopped while the answer was coming. The text so far is kept; "
        "send the prompt again for a whole answer."
    )
