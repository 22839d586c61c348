"""Runs from row to row: the only place where what happens to them has effects."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llamakeep.domain import Effect, Run, RunEvent, RunStatus, utc_now
from llamakeep.domain.messages import images_in
from llamakeep.domain.quotas import Quota
from llamakeep.domain.runs import told_of
from llamakeep.domain.states import follow
from llamakeep.engine.circuits import Circuits
from llamakeep.engine.circuits.upstreams import CircuitOpen
from llamakeep.engine.closing import Closing
from llamakeep.engine.context import messages, read_prior
from llamakeep.engine.feeds.feed import Feed
from llamakeep.engine.images import read_images
from llamakeep.engine.live import LiveRun
from llamakeep.engine.load import load_series
from llamakeep.engine.quotas import passing_by
from llamakeep.engine.recovery.leases import Recovery
from llamakeep.engine.recovery.orphans import Orphans
from llamakeep.engine.recovery.reattaching import Reattachment
from llamakeep.engine.refusals import stopped_in_between, timed_out
from llamakeep.engine.retries import Retries
from llamakeep.engine.routing.falling_back import Fallback
from llamakeep.engine.storing import store
from llamakeep.engine.tracing import RunTrace
from llamakeep.engine.waiting.turns import Turns
from llamakeep.errors import (
    LimitReached,
    LlamaKeepError,
    OutcomeUnknown,
    StorageUnavailable,
)
from llamakeep.metrics.metrics import Metrics
from llamakeep.providers.base import CompletionRequest, is_reattachable
from llamakeep.providers.embedding import embedded
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.lookups import IdempotencyKey

if TYPE_CHECKING:
    from llamakeep.tracing.tracer import Tracer

log = logging.getLogger(__name__)


class Runner:
    """
    Takes each run from where its row is to its end, in a task of its own.

    A storage error makes a run wait and try again; it never ends one.
    """

    def __init__(
        self, settings: Settings, storage: Storage, registry: Registry, *, node: str
    ) -> None:
        self.metrics = metrics = Metrics()
        """What happens in this process."""
        self.tracer: Tracer | None = None
        self.live: dict[str, LiveRun] = {}
        """The runs that have a task, from before they are stored until it is over."""
        self.feeds: dict[str, Feed] = {}
        """By user: where changes of their runs are told, as somebody listens."""
        self.circuits = circuits = Circuits(settings, storage, registry)
        self.orphans = Orphans(settings)
        self.recovery = Recovery(
            settings,
            storage,
            node,
            live=self.live,
            begin=self.take_up,
            cancel=self.cancel,
            lose=self.lose,
            taken_over=metrics.taken_over,
        )
        loads = partial(load_series, self.live, settings)
        metrics.collectors += [loads, storage.commit_series]
        self._settings = settings
        self._storage = storage
        self._node = node
        self._registry = registry
        self._closing = Closing(
            settings, storage, registry, self.orphans, node=node, metrics=metrics
        )
        self._is_shared = not storage.is_sole_owner
        self.fallback = Fallback(storage, registry, circuits)
        self.turns = Turns(settings, registry, circuits.upstreams, self.fallback)

    def start(
        self,
        live: LiveRun,
        idempotency_key: IdempotencyKey | None = None,
        quotas: Sequence[Quota] = (),
    ) -> None:
        """
        Begin to work on a run, whatever becomes of the caller.

        If it is not stored, that is done first, with its key and within its quotas.
        """
        self.live[live.run.id] = live
        live.feed = self.feeds.get(live.run.user_id)
        if self.tracer is not None:
            live.trace = RunTrace(self.tracer, live.run, is_left=live.is_left)
        live.task = asyncio.create_task(self._run(live, idempotency_key, quotas))
        live.task.add_done_callback(partial(self._check_started, live))

    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Return what works on runs."""
        return [live.task for live in self.live.values()]

    def take_up(self, run: Run) -> None:
        """Continue or close a run that this process has taken over."""
        live = LiveRun(run)
        live.is_stored = live.is_left = live.is_followed = True
        # Once more it would mean the same: what was begun may have been already.
        effects = follow(run.status, RunEvent.TAKE_OVER).effects
        live.was_begun = Effect.CONTINUE in effects
        self.turns.line_up(live)
        self.start(live)
        if live.feed is not None:
            live.feed.changed(run.id)

    async def follow_upstreams(self, changed: Collection[str]) -> None:
        """Follow the registry, in which those are new, other ones or gone."""
        self.turns.follow_bounds()
        await self.circuits.follow(changed)

    def cancel(self, run_id: str) -> None:
        """Stop a run if it is this process's; its text so far is kept."""
        live = self.live.get(run_id)
        if live is not None and live.is_stored and not live.is_closing:
            live.run = replace(live.run, cancel_requested=True)
            live.task.cancel()

    def lose(self, run_id: str) -> None:
        """Stop working on a run that another process has now."""
        live = self.live[run_id]
        log.warning("run %s is another process's now", run_id)
        live.lose()
        effects = follow(live.run.status, RunEvent.LOSE_LEASE).effects
        # What is found to belong to no run is canceled later.
        if not (Effect.DETACH in effects and is_reattachable(live.provider)):
            live.task.cancel()

    def abandon(self, run_id: str) -> None:
        """Stop what works on a run, and what was begun for it."""
        if (live := self.live.get(run_id)) is not None:
            live.task.cancel()

    async def _run(  # noqa: C901, PLR0912 - in two, each prompt would cost another call
        self,
        live: LiveRun,
        idempotency_key: IdempotencyKey | None,
        quotas: Sequence[Quota],
    ) -> None:
        """Store a run if that is to be done, have it answered, and close it."""
        failure: BaseException | None = None
        try:
            if not (live.is_stored or await self._store(live, idempotency_key, quotas)):
                return
            try:
                while not live.is_lost:
                    try:
                        is_ready = live.has_slot and live.prior is not None
                        if not (is_ready or await self._prepare(live)):
                            break
                        if await self._ask(live):
                            break
                    except LlamaKeepError as error:
                        if not await self.fallback.after(live, error):
                            raise
                        if not self.turns.has_room(live.run):
                            # While it waits, nothing is asked: a crash may not end it.
                            await self.fallback.requeue(live)
                        continue
                    finally:
                        await self.turns.release(live)
                    if not await self.fallback.of_open_circuit(live):
                        await self.fallback.requeue(live)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told apart
                end = await self._closing.failed(live, error)
            else:
                end = None if live.is_lost else live.succeeded()
                if end is not None and self.circuits.models.known:
                    self.circuits.models.succeeded(end)
            if end is not None:
                await self._closing.finish(live, end)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - logged below
            failure = error
        finally:
            self._end(live, failure)

    def _check_started(self, live: LiveRun, _: asyncio.Task[None]) -> None:
        """Let go of a run whose task was canceled before it began."""
        if self.live.get(live.run.id) is live:
            self._end(live, asyncio.CancelledError())

    def _end(self, live: LiveRun, failure: BaseException | None) -> None:
        """Let go of a run, whatever became of its task."""
        run_id = live.run.id
        if self.live.get(run_id) is live:
            del self.live[run_id]
        if live.upstream is not None or live.is_waiting:
            self.turns.end(live)
        if isinstance(failure, Exception):
            log.error("run %s was dropped by a bug", run_id, exc_info=failure)
            self.recovery.failed(run_id)
        if live.is_stored:
            if not live.is_over and live.trouble is None:
                live.lose()  # no client is left waiting here
        elif live.trouble is None:
            live.refuse(stopped_in_between())
        is_done = failure is None and not live.is_lost
        if self.recovery.begun or not is_done:
            self.recovery.ended(run_id, is_done=is_done)
        if live.trace is not None and live.is_stored:
            live.trace.end(live.run)

    async def _store(
        self,
        live: LiveRun,
        idempotency_key: IdempotencyKey | None,
        quotas: Sequence[Quota],
    ) -> bool:
        """Keep a run and tell so; return whether it is one that was not kept before."""
        accept = partial(
            self._storage.accept,
            node=self._node,
            idempotency_key=idempotency_key,
        )
        is_new = False
        try:
            try:
                stored = await store(partial(accept, live.run, quotas=quotas))
            except LimitReached as reached:
                stored = await self._accept_elsewhere(live, quotas, reached, accept)
        except Exception as error:  # noqa: BLE001 - handed to the client that waits
            live.refuse(error)
            if isinstance(error, OutcomeUnknown):
                self.recovery.look_soon()
        else:
            is_new = live.is_stored = stored.id == live.run.id
            if is_new and live.run.images:
                # Their bytes are read again when the provider is sent them.
                stored = live.run = replace(live.run, images=())
            if live.stored is not None and not live.stored.done():
                live.stored.set_result(stored)
            if is_new and live.feed is not None:
                live.feed.changed(stored.id)
            if live.is_doubtful and is_new:
                await Retries(live).until_done(self.recovery.renew)
        return is_new

    async def _accept_elsewhere(
        self,
        live: LiveRun,
        quotas: Sequence[Quota],
        reached: LimitReached,
        accept: Callable[..., Awaitable[Run]],
    ) -> Run:
        """Store a run for another model of its alias: an upstream is at its limit."""
        while (other := passing_by(live.run, quotas, reached)) is not None:
            live.run, quotas = other
            live.provider = self._registry.provider(live.run.provider)
            await self.turns.move(live)
            try:
                return await store(partial(accept, live.run, quotas=quotas))
            except LimitReached as again:
                reached = again
        raise reached

    async def _prepare(self, live: LiveRun) -> bool:
        """
        Wait for a run's turn and claim it.

        Returns:
            Whether it is still this process's.
        """
        retries = Retries(live)
        if live.is_left:
            await self._closing.check_left(live)
        while True:
            try:
                if not live.has_slot:
                    await self.turns.wait(live)
                if live.prior is None:
                    most = self._settings.max_context_size
                    live.prior = await read_prior(self._storage, live.run, most=most)
                if live.run.status is RunStatus.QUEUED:
                    await self._claim(live)
            except StorageUnavailable as failure:
                # Its provider is not asked yet; nor has it a slot meanwhile.
                await self.turns.release(live)
                await retries.pause(failure)
            else:
                retries.succeeded()
                return not live.is_lost

    async def _claim(self, live: LiveRun) -> None:
        run, now = live.run, utc_now()
        transition = follow(run.status, RunEvent.CLAIM)
        if not (
            await self._storage.claim(run)
            or await self._closing.catch_up(live, run.attempt)
        ):
            live.lose()
            return
        live.run = replace(
            live.run,
            status=transition.status,
            attempt=run.attempt + 1,
            started_at=now,
        )
        live.was_begun = False
        if live.feed is not None:
            live.feed.changed(run.id)

    async def _ask(self, live: LiveRun) -> bool:
        """
        Have a run answered.

        Returns:
            `False` if its provider is to be asked later, and has begun nothing.
        """
        run, provider = live.run, live.provider
        assert provider is not None
        assert live.prior is not None
        parameters = run.parameters
        if parameters.tools or parameters.echoed or parameters.route:
            parameters = told_of(parameters)
        said = messages(run, live.prior)
        has_more = live.prior or run.prior_messages or run.last_message
        has_images = has_more and images_in(said)
        request = CompletionRequest(
            run_id=run.id,
            attempt=run.attempt,
            model=run.model,
            messages=said,
            read_images=(
                partial(read_images, self._storage, live) if has_images else None
            ),
            parameters=parameters,
            max_tokens_name=run.max_tokens_name,
            # A create that waits outlasts the lease, and hides what would be canceled.
            is_followed=live.is_followed or self._is_shared,
        )
        live.prior = None
        circuits = self.circuits
        # Mostly they are empty, and nothing is to be asked of circuits.
        models, upstreams = circuits.models.known, circuits.upstreams.failing
        try:
            async with asyncio.timeout(self._settings.run_timeout) as deadline:
                is_embedding = run.parameters.embedding is not None
                if is_reattachable(provider) and not is_embedding:
                    was_begun, live.was_begun = live.was_begun, True
                    reattachment = Reattachment(
                        live,
                        provider,
                        request,
                        deadline,
                        settings=self._settings,
                        storage=self._storage,
                        breakers=circuits.upstreams,
                        recovery=self.recovery,
                        metrics=self.metrics,
                    )
                    await reattachment.answer(was_begun=was_begun)
                    return True
                if models or upstreams:
                    await circuits.check(run)
                ask = partial(embedded, provider) if is_embedding else provider.answer
                answer = ask(request)
                if live.trace is not None:
                    answer = live.trace.call(run.provider, request, answer)
                try:
                    async with aclosing(answer) as events:
                        async for event in events:
                            live.receive(event)
                            if models or upstreams:
                                await circuits.received(run, event)
                except BaseException as error:
                    await circuits.broke_off(run, error, is_answering=live.is_answering)
                    raise
        except CircuitOpen:
            return False
        except TimeoutError as error:
            raise timed_out(live.run, self._settings.run_timeout) from error
        return True
