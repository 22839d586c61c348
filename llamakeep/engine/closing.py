"""How runs end: what is written of them, until the database takes it."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from llamakeep.domain import Effect, Run, RunEvent, RunStatus, utc_now
from llamakeep.domain.routes import left_of
from llamakeep.domain.states import follow
from llamakeep.engine.live import LiveRun
from llamakeep.engine.recovery.orphans import Orphans
from llamakeep.engine.refusals import canceled, interrupted
from llamakeep.engine.retries import Retries
from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    NoProvider,
    RunCanceled,
    RunFailed,
    RunInterrupted,
    ServerStopping,
    StorageUnavailable,
)
from llamakeep.metrics.metrics import MOST_NOTED, Metrics
from llamakeep.providers.base import is_reattachable
from llamakeep.providers.registry import Registry
from llamakeep.providers.searchable import finds_again
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


class Closing:
    """Decides how runs end, and writes that."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        registry: Registry,
        orphans: Orphans,
        *,
        node: str,
        metrics: Metrics,
    ) -> None:
        self._retry_interrupted = settings.retry_interrupted
        self._orphans = orphans
        self._storage = storage
        self._registry = registry
        self._node = node
        self._metrics = metrics

    async def check_left(self, live: LiveRun) -> None:
        """
        Refuse to have a run answered that was left and is not to be.

        Raises:
            LlamaKeepError: What the run ends with.
        """
        run = live.run
        if run.cancel_requested:
            live.is_closing = True  # another cancel would leave the run without a task
            with suppress(LlamaKeepError):
                live.provider = provider = self._registry.provider(run.provider)
                if run.handle is not None and is_reattachable(provider):
                    await provider.cancel(run.handle)
                elif live.was_begun:
                    self._orphans.cancel_orphan(live)
            raise canceled(run)
        if run.parameters.embedding is not None:
            raise interrupted(run)  # its vectors are for a client that has left
        try:
            live.provider = self._registry.provider(run.provider)
        except NoProvider as error:
            if not live.was_begun and left_of(run.parameters):
                error.nothing_paid = True  # so another model of its alias is asked
                raise
            raise RunInterrupted(
                f"The server stopped before the answer was there. {error.how_to_fix}"
            ) from error
        if live.was_begun and not self.may_repeat(live):
            raise interrupted(run)

    async def failed(self, live: LiveRun, error: BaseException) -> Run | None:
        """
        Return what a run ends with, unless it is another process's or the next's.

        Raises:
            BaseException: What `error` is, if it ends no run: one of the database, and
                what kept from happening what was decided already.
        """
        is_plain = isinstance(error, LlamaKeepError)
        if isinstance(error, StorageUnavailable) or (live.is_closing and not is_plain):
            raise error
        if not (is_plain or isinstance(error, asyncio.CancelledError)):
            log.error("run %s failed by a bug", live.run.id, exc_info=error)
            error = RunFailed()
        if live.is_lost:
            return None
        if isinstance(error, asyncio.CancelledError):
            if live.run.cancel_requested:
                if live.run.status is not RunStatus.QUEUED:
                    self._orphans.cancel_orphan(live)
                error = canceled(live.run)
            elif await self._leave(live):
                return None
            else:
                error = interrupted(live.run)
        assert isinstance(error, LlamaKeepError)
        return _ended(live, error)

    async def _leave(self, live: LiveRun) -> bool:
        """Stop working on a run because the server stops, if it can be continued."""
        if live.run.parameters.embedding is not None:
            return False
        effects = follow(live.run.status, RunEvent.STOP).effects
        if not (Effect.LEAVE in effects or self.may_repeat(live)):
            return False
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
        return True

    def may_repeat(self, live: LiveRun) -> bool:
        """Return whether what was begun may be answered from its beginning."""
        provider = live.provider
        has_handle = live.run.handle is not None and is_reattachable(provider)
        if has_handle or finds_again(provider):
            return True  # nothing is paid for twice
        if self._retry_interrupted is not None:
            return self._retry_interrupted
        return provider is not None and provider.is_free

    async def finish(self, live: LiveRun, run: Run) -> None:
        """Close a run, trying until the database takes it."""
        live.is_closing = True
        if run.usage.input_tokens is not None and run.usage.output_tokens is not None:
            run = self._priced(run)
        began = asyncio.get_running_loop().time()
        try:
            is_mine = await self._storage.finish(run)
        except StorageUnavailable as failure:
            is_mine = await self._write_end(live, run, failure, began=began)
        while not is_mine and await self.catch_up(live, run.attempt):
            run = replace(run, attempt=live.run.attempt)
            is_mine = await self._write_end(live, run)
        if is_mine:
            ended = self._metrics.ended
            ended.append(  # an `EndedRun`
                (
                    run.parameters.embedding is not None,
                    run.provider,
                    run.model,
                    run.status,
                    run.error_code,
                    run.created_at,
                    run.started_at,
                    run.first_word_after,
                    run.finished_at,
                    run.usage,
                )
            )
            if len(ended) == MOST_NOTED:
                asyncio.get_running_loop().call_soon(self._metrics.fold)
            live.hand_over(run)
        else:
            live.lose()

    async def _write_end(
        self,
        live: LiveRun,
        run: Run,
        failure: StorageUnavailable | None = None,
        *,
        began: float | None = None,
    ) -> bool:
        said = _ANSWERED if run.status is RunStatus.SUCCEEDED else _ENDED
        return await Retries(live, said, began=began).until_done(
            lambda: self._storage.finish(run), failure=failure
        )

    async def catch_up(self, live: LiveRun, attempt: int) -> bool:
        """
        Find out whether a write met nothing because of an earlier one of our own.

        A claim may have been written although it failed, or was canceled.

        Returns:
            Whether the run is this process's in the attempt after `attempt`, which
            `live` has then, too.
        """
        held = await Retries(live).until_done(
            lambda: self._storage.held_runs(self._node, live.run.id)
        )
        if not held or held[0].attempt != attempt + 1:
            return False
        live.run = replace(live.run, attempt=held[0].attempt)
        return True

    def _priced(self, run: Run) -> Run:
        price = self._registry.price(run.provider, run.resolved_model, run.model)
        if price is None:
            return run
        usage = run.usage
        assert usage.input_tokens is not None
        assert usage.output_tokens is not None
        cost = price.of(usage.input_tokens, usage.output_tokens)
        return replace(run, usage=replace(usage, cost=cost))


def _ended(live: LiveRun, error: LlamaKeepError) -> Run:
    """Return a run as it is to be closed that did not succeed."""
    if isinstance(error, RunCanceled):
        event = RunEvent.CANCEL
    elif isinstance(error, RunInterrupted):
        event = RunEvent.INTERRUPT
    elif isinstance(error, AnswerExpired):
        event = RunEvent.EXPIRE
    else:
        event = RunEvent.FAIL
    status = follow(live.run.status, event).status
    if not isinstance(error, RunFailed):  # it was logged with its bug
        level, has_cause = error.log_level, error.__cause__ is not None
        log.log(
            level,
            "run %s %s: %s",
            live.run.id,
            status,
            error.code,
            exc_info=error if has_cause or level > logging.INFO else None,
        )
    return replace(
        live.snapshot(),
        status=status,
        error_code=error.code,
        error_detail=error.detail,
        failure=error,
        finished_at=utc_now(),
    )
