"""How one run gets done: its provider is asked, and what became of it is stored."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import replace

from llamakeep.domain import Run, RunStatus, utc_now
from llamakeep.engine.breakers import Breakers
from llamakeep.engine.context import messages, size_of
from llamakeep.engine.gate import GateClosed, Gates
from llamakeep.engine.live import LiveRun
from llamakeep.engine.patience import Patience
from llamakeep.engine.reattaching import Reattaching
from llamakeep.engine.stopping import Stopping
from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    ProviderTimeout,
    RunCanceled,
    RunFailed,
    RunInterrupted,
    ServerStopping,
    StorageUnavailable,
)
from llamakeep.providers.base import (
    CompletionRequest,
    Provider,
    goes_on,
)
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage

_ANSWERED = (
    "The answer is there, but cannot be kept yet; it is written as soon as that is "
    "possible."
)
_ENDED = (
    "The run has ended, which cannot be kept yet; it is written as soon as that is "
    "possible, and so is the text so far."
)

log = logging.getLogger(__name__)


class Worker:
    """
    Works on one run at a time, on as many as it is asked to at once.

    Args:
        settings: What the operator chose.
        storage: Where the runs are.
        registry: Who may answer, and for how much.
        gates: What stands before them.
        stopping: Stops what was begun for runs that are canceled.
        node: Under which name this process holds runs.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        registry: Registry,
        gates: Gates,
        stopping: Stopping,
        *,
        node: str,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._storage = storage
        self._gates = gates
        self._stopping = stopping
        self._breakers = Breakers(settings.breaker_pause)
        self._node = node
        self._reattaching = Reattaching(settings, storage, gates, node=node)

    async def work(
        self,
        live: LiveRun,
        provider: Provider,
        *,
        slot: AbstractAsyncContextManager[object],
        earlier: Sequence[Run] | None = None,
        is_followed: bool = True,
    ) -> None:
        """
        Have a run answered, and close it with what became of it.

        Args:
            live: The run.
            provider: Who answers.
            slot: What it has to wait for.
            earlier: What was said before in its conversation, where that is known.
            is_followed: Whether somebody reads along.
        """
        error: LlamaKeepError | None = None
        try:
            await self._have_answered(
                live, provider, slot, earlier, is_followed=is_followed
            )
        except LlamaKeepError as failure:
            error = failure
        except asyncio.CancelledError:
            if live.is_lost:
                return
            if not live.run.cancel_requested:
                await self._leave(live, provider)
                return
            if live.run.status is not RunStatus.QUEUED:
                self._stopping.begin(live, provider)
            error = RunCanceled("The run was canceled; the text so far is kept.")
        except Exception:
            log.exception("run %s failed by a bug", live.run.id)
            error = RunFailed()
        else:
            if self._breakers.known:
                self._breakers.succeeded(live.run)
        await self.finish(live, error)

    async def finish(self, live: LiveRun, error: LlamaKeepError | None) -> None:
        """Close a run, trying until the database takes it."""
        if live.is_lost:
            return
        live.is_closing = True
        run = self._priced(_ended(live, error))
        try:
            is_mine = await self._storage.finish(run)
        except StorageUnavailable as failure:
            is_mine = await self._write_end(live, run, failure)
        while not is_mine and await self._catch_up_with_row(live, run.attempt):
            run = replace(run, attempt=live.run.attempt)
            is_mine = await self._write_end(live, run)
        if is_mine:
            live.hand_over(run)
        else:
            live.lose()

    async def _write_end(
        self, live: LiveRun, run: Run, failure: StorageUnavailable | None = None
    ) -> bool:
        said = _ANSWERED if run.status is RunStatus.SUCCEEDED else _ENDED
        return await Patience(live, said).until_done(
            lambda: self._storage.finish(run), failure=failure
        )

    async def _catch_up_with_row(self, live: LiveRun, attempt: int) -> bool:
        """
        Find out whether a write met nothing because of an earlier one of our own.

        A claim may have been written although it failed, or was canceled.

        Returns:
            Whether the run is this process's in the attempt after `attempt`, which
            `live` has then, too.
        """
        held = await Patience(live).until_done(
            lambda: self._storage.renew(
                self._node, [live.run.id], lease=self._settings.lease
            )
        )
        if not held or held[0].attempt != attempt + 1:
            return False
        live.run = replace(live.run, attempt=held[0].attempt)
        return True

    def _priced(self, run: Run) -> Run:
        usage = run.usage
        if usage.input_tokens is None or usage.output_tokens is None:
            return run
        price = self._registry.price(run.provider, run.resolved_model, run.model)
        if price is None:
            return run
        cost = price.of(usage.input_tokens, usage.output_tokens)
        return replace(run, usage=replace(usage, cost=cost))

    def may_run_again(self, run: Run, provider: Provider) -> bool:
        """Return whether a run that was left may be answered from its beginning."""
        if run.status is RunStatus.QUEUED:
            return True  # the provider has not heard of it
        if goes_on(provider):
            return True  # nothing is asked for twice
        if self._settings.retry_interrupted is not None:
            return self._settings.retry_interrupted
        return provider.is_free

    async def _have_answered(
        self,
        live: LiveRun,
        provider: Provider,
        slot: AbstractAsyncContextManager[object],
        earlier: Sequence[Run] | None,
        *,
        is_followed: bool,
    ) -> None:
        """Have a run answered, as often as its provider wants to be asked later."""
        give_up_at: float | None = None
        patience: Patience | None = None
        while not live.is_lost:
            if give_up_at is None and self._gates.stop(live.run):
                now = asyncio.get_running_loop().time()
                give_up_at = now + self._settings.run_timeout
            try:
                # Whoever waits at the gate keeps nobody else from having a slot.
                async with self._gates.turn(live.run, give_up_at=give_up_at), slot:
                    if self._gates.stop(live.run):
                        continue  # it was closed while there was no slot
                    try:
                        await self._answer(
                            live, provider, earlier, patience, is_followed=is_followed
                        )
                    except GateClosed:
                        await self._requeue(live)
                    else:
                        return
            except StorageUnavailable as failure:
                # Its provider is not asked yet; nor has it a slot meanwhile.
                patience = patience or Patience(live)
                await patience.pause(failure)

    async def _requeue(self, live: LiveRun) -> None:
        """Let a run wait so that, after a crash, nobody looks for its answer."""
        if not await self._storage.requeue(live.run):
            live.lose()
        live.run = replace(live.run, status=RunStatus.QUEUED, started_at=None)

    async def _claim(self, live: LiveRun) -> bool:
        run, now = live.run, utc_now()
        if not (
            await self._storage.claim(run, lease=self._settings.lease)
            or await self._catch_up_with_row(live, run.attempt)
        ):
            live.lose()
            return False
        live.run = replace(
            live.run,
            status=RunStatus.STARTING,
            attempt=run.attempt + 1,
            started_at=now,
        )
        return True

    async def _context(self, run: Run) -> Sequence[Run]:
        assert run.conversation_id is not None
        context = await self._storage.context(
            run.user_id,
            run.conversation_id,
            previous_run_id=run.previous_run_id,
            before=run.id,
            most=self._settings.max_context_size - size_of(run),
        )
        return context.runs

    async def _answer(
        self,
        live: LiveRun,
        provider: Provider,
        earlier: Sequence[Run] | None,
        patience: Patience | None,
        *,
        is_followed: bool,
    ) -> None:
        """
        Have a run answered.

        Raises:
            GateClosed: Its provider has not heard it, and is to be asked later.
            StorageUnavailable: Its provider was not asked; nor is it known that the run
                was claimed.
        """
        run = live.run
        was_begun = run.status is not RunStatus.QUEUED and run.attempt > 1
        earlier = await self._context(run) if earlier is None else earlier
        if run.status is RunStatus.QUEUED:
            if not await self._claim(live):
                return
            run = live.run
        if patience is not None:
            patience.over()
        request = CompletionRequest(
            run_id=run.id,
            attempt=run.attempt,
            model=run.model,
            messages=messages(run, earlier),
            parameters=run.parameters,
            max_tokens_name=run.max_tokens_name,
            # A create that waits outlasts the lease, and hides what would be canceled.
            is_followed=is_followed or not self._storage.is_sole_owner,
        )
        try:
            async with asyncio.timeout(self._settings.run_timeout) as deadline:
                if goes_on(provider):
                    await self._reattaching.answer(
                        live,
                        provider,
                        request,
                        Patience(live, deadline=deadline),
                        was_begun=was_begun,
                    )
                    return
                if self._breakers.known:
                    self._breakers.check(run)
                try:
                    async with aclosing(provider.answer(request)) as events:
                        async for event in events:
                            live.receive(event)
                            if self._breakers.known:
                                self._breakers.received(run, event)
                except BaseException as error:
                    self._breakers.broke_off(run, error, is_answering=live.is_answering)
                    raise
        except TimeoutError as error:
            raise ProviderTimeout(
                f"The run was not done after {self._settings.run_timeout:g} seconds; "
                "the text so far is kept."
            ) from error

    async def _leave(self, live: LiveRun, provider: Provider) -> None:
        """Stop working on a run because the server stops."""
        if not self.may_run_again(live.run, provider):
            await self.finish(live, interruption())
            return
        if live.is_worth_keeping:
            with suppress(StorageUnavailable):
                await self._storage.flush([live.snapshot()])
        live.fail(
            ServerStopping(
                "The server is shutting down. Your prompt is kept, and answered when "
                "it is back.",
                retry_after=5,
            )
        )


def interruption() -> RunInterrupted:
    """Return what a run ends with that nobody may run again."""
    return RunInterrupted(
        "The server stopped while the answer was coming. The text so far is kept; "
        "send the prompt again for a whole answer."
    )


def _ended(live: LiveRun, error: LlamaKeepError | None) -> Run:
    """Return the run as it is to be closed."""
    if error is None:
        return live.succeeded()
    if isinstance(error, RunCanceled):
        status = RunStatus.CANCELED
    elif isinstance(error, RunInterrupted):
        status = RunStatus.INTERRUPTED
    elif isinstance(error, AnswerExpired):
        status = RunStatus.EXPIRED
    else:
        status = RunStatus.FAILED
    log.info("run %s %s: %s", live.run.id, status, error.code, exc_info=error)
    return replace(
        live.snapshot(),
        status=status,
        error_code=error.code,
        error_detail=error.detail,
        failure=error,
        finished_at=utc_now(),
    )
