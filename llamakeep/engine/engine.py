"""The engine: what the API surfaces ask of it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING

from llamakeep.domain import Actor, NewRun, Run, RunStatus, User, new_id
from llamakeep.engine.admission import Admission, NewRunSource
from llamakeep.engine.feeds.elsewhere import Polling
from llamakeep.engine.feeds.feeds import Feeds
from llamakeep.engine.following import Mirrors, follow_elsewhere, owner_of
from llamakeep.engine.refusals import check_is_kept, raise_for_status, reading, stopped
from llamakeep.engine.runner import Runner
from llamakeep.engine.updates import (
    Delta,
    Ended,
    ItemDelta,
    Position,
    Reset,
    Update,
    sliced,
)
from llamakeep.engine.upkeep import Upkeep
from llamakeep.errors import (
    LlamaKeepError,
    ProviderError,
    StorageUnavailable,
    TextNotKept,
)
from llamakeep.providers.registry import Registry
from llamakeep.providers.searchable import is_searchable
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.lookups import IdempotencyKey

if TYPE_CHECKING:
    from llamakeep.tracing.tracer import Tracer

TICK = 10
"""Seconds between two signs of life to those who follow a silent run."""

INDEXING_PAUSE = 1
"""Seconds after which some more finished runs are indexed, if any are left to."""

LAST_WRITES = 2
"""Seconds that ends of runs may take to be written when the process stops."""

log = logging.getLogger(__name__)


class Engine:
    """
    Accepts prompts, has them answered, and lets clients follow.

    A run belongs to the engine, not to the request that asked for it: when its client
    leaves it continues, and a client that comes back follows the same text.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        registry: Registry,
        tracer: "Tracer | None" = None,
    ) -> None:
        self.node_id = new_id("node_")
        """Under which name this process holds runs."""
        self.is_closed = False
        """Whether it works on nothing any more."""
        self.is_draining = False
        """Whether the process stops soon, and other ones should get new prompts."""
        self._settings = settings
        self._storage = storage
        self._registry = registry
        self._runner = runner = Runner(settings, storage, registry, node=self.node_id)
        runner.tracer = tracer
        self.metrics, self.recovery = runner.metrics, runner.recovery
        self.circuits = runner.circuits
        self.live = runner.live
        self.follow_upstreams = runner.follow_upstreams
        self._admission = Admission(settings, storage, registry, self._runner)
        self.quotas = self._admission.quotas
        elsewhere = None if storage.is_sole_owner else Polling(storage)
        self.feeds = Feeds(storage, runner.feeds, runner.live, elsewhere)
        """What changes of users' runs, for those who listen."""
        self.mirrors: Mirrors | None = None
        """Follows runs at other nodes, if there may be any."""
        self._deadline: float | None = None
        self._upkeep = Upkeep(
            settings, storage, self._runner, tick=TICK, indexing_pause=INDEXING_PAUSE
        )

    async def open(self, *, take_over: bool = True) -> None:
        """Start working; `take_over` is to continue what earlier processes left."""
        try:
            await self.circuits.upstreams.refresh()
        except StorageUnavailable as error:
            log.warning("circuits are taken to be closed: %s", error.detail)
        await self._runner.recovery.open(take_over=take_over)
        self._upkeep.open()

    def stop_accepting(self, *, grace: float | None = None) -> None:
        """
        Refuse new prompts from now on.

        Runs have `grace` seconds to end; at the first call, `shutdown_grace` by
        default.
        """
        self._admission.is_stopping = True
        if self._deadline is None and grace is None:
            grace = self._settings.shutdown_grace
        if grace is not None:
            self._deadline = time.monotonic() + grace

    async def close(self) -> None:
        """Let runs end within the grace, then leave the rest as it can be recovered."""
        self.stop_accepting()
        assert self._deadline is not None
        runner = self._runner
        await runner.recovery.stop_taking_over()
        if runner.live:
            grace = max(0.0, self._deadline - time.monotonic())
            await asyncio.wait(runner.tasks(), timeout=grace)
        self._registry.detach()
        for live in runner.live.values():
            if not live.is_closing:
                live.task.cancel()
        if runner.live:
            _, stuck = await asyncio.wait(runner.tasks(), timeout=LAST_WRITES)
            for task in stuck:
                task.cancel()
            if stuck:
                await asyncio.wait(stuck, timeout=LAST_WRITES)
        await self.feeds.close()
        await runner.orphans.close()
        await self._upkeep.close()
        await runner.recovery.close()
        self.is_closed = True

    @property
    def running(self) -> int:
        """How many runs are worked on, or wait for their turn, in this process."""
        return len(self._runner.live)

    @property
    def is_stopping(self) -> bool:
        """Whether new prompts are refused."""
        return self._admission.is_stopping

    async def accept(
        self,
        user: User,
        asked: NewRunSource,
        *,
        idempotency_key: IdempotencyKey | None = None,
        is_followed: bool = True,
    ) -> Run:
        """
        Keep a prompt and begin to have it answered.

        When this returns, the prompt is on disk, whatever happens next. With a known
        idempotency key, the run that was made then is returned. Unless the client may
        read along (`is_followed`), some providers are asked in another way.

        Raises:
            ClientError: Something about the request is wrong; nothing was stored.
            ServerError: It cannot be accepted now; nothing was stored.
            OutcomeUnknown: It cannot be told whether it was stored.
        """
        if idempotency_key is not None:
            return await self._accept_once(
                user, asked, idempotency_key, is_followed=is_followed
            )
        live = await self._admission.begin(user, asked, None, is_followed=is_followed)
        return await live.kept()

    async def answer(
        self,
        user: User,
        asked: NewRunSource,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Run:
        """
        Do `accept` and `result` for a client that only wants the end.

        Raises:
            LlamaKeepError: What these raise.
        """
        if idempotency_key is not None:
            run = await self._accept_once(
                user, asked, idempotency_key, is_followed=False
            )
            return await self.result(run)
        live = await self._admission.begin(user, asked, None, is_followed=False)
        ended = await live.end() or await self._stored_end(live.run)
        if ended.status is not RunStatus.SUCCEEDED:
            self._raise_for_status(ended)
        return ended

    async def count_tokens(self, user: User, new: NewRun) -> int:
        """
        Return how many tokens the model of a prompt would read; nothing is stored.

        Raises:
            LlamaKeepError: It would be refused, or its provider cannot count them.
        """
        return await self._admission.count_tokens(user, new)

    async def result(self, run: Run) -> Run:
        """
        Wait until `run` is over, and return how it ended.

        Raises:
            LlamaKeepError: It did not succeed, or this cannot be told for now.
        """
        live = self._runner.live.get(run.id)
        ended = None if live is None else await live.end()
        ended = ended or await self._stored_end(run)
        if ended.status is not RunStatus.SUCCEEDED:
            self._raise_for_status(ended)
        return ended

    async def answering(self, run: Run) -> None:
        """
        Wait until the provider has begun to answer `run`.

        Raises:
            LlamaKeepError: It was refused, or failed before its first word.
        """
        live = self._runner.live.get(run.id)
        while live is not None and not (live.is_answering or live.is_over):
            if live.trouble is not None:
                raise live.trouble
            await live.wait()
        if live is not None and live.is_over and not (live.is_lost or live.length):
            self._raise_for_status(live.run)

    def follow(
        self, run: Run, position: Position | None = None
    ) -> AsyncGenerator[Update, None]:
        """
        Yield the text of `run` after `position` as it comes, then its end.

        The caller made sure that the run is the reader's. Runs that another process is
        working on are followed too, in storage.

        Raises:
            LlamaKeepError: The end cannot be told for now; the run is kept.
        """
        if position is not None and position.offset:
            self.metrics.resumed.add()
        live = self._runner.live.get(run.id)
        if live is None:
            return self._follow_stored(run, position or Position())
        return live.follow(position or Position(), self._follow_stored)

    async def end_of(self, run: Run) -> Run:
        """
        Wait until `run` is over, whatever became of it, and return all of it.

        Raises:
            LlamaKeepError: The end cannot be told for now; the run is kept.
        """
        live = self._runner.live.get(run.id)
        ended = None if live is None else await live.end()
        if ended is not None:
            return ended
        try:
            return await self._stored_end(run)
        except TextNotKept:
            with reading(run):
                return await self._storage.outline(owner_of(run), run.id)

    async def cancel(self, user: User, run_id: str) -> Run:
        """
        Stop a run and keep its text so far; one that is over stays as it is.

        Raises:
            RunNotFound: `user` has no such run.
        """
        run = await self._storage.request_cancel(user, run_id)
        if run.status.is_final:
            return run
        self._runner.cancel(run_id)
        if run_id not in self._runner.live:
            if self.mirrors is not None:
                self.mirrors.look_for_cancels(run_id)
            self._runner.recovery.look_for(run_id)
        return await self.end_of(run)

    async def delete(self, user: User, run_id: str) -> None:
        """
        Forget a run for good; one that is going on is canceled first.

        Raises:
            RunNotFound: `user` has no such run.
        """
        await self.cancel(user, run_id)
        await self._storage.delete_run(user, run_id)
        self.feeds.changed(user.id, run_id)

    async def delete_user(self, user: User, *, actor: Actor) -> None:
        """
        Delete a user for all to see, and stop their runs.

        All that was theirs goes a little later: see `deletion/users.py`.

        Raises:
            UserNotFound: There is no such user.
            LastAdmin: There would be no other who can manage users; nothing changed.
        """
        await self._storage.delete_user(user.id, actor=actor)
        self.stop_runs(await self._storage.unfinished_runs(user))

    def stop_runs(self, run_ids: Collection[str]) -> None:
        """Stop those that are this process's; storage has told the others."""
        for run_id in run_ids:
            self._runner.cancel(run_id)

    def expects(self, run_id: str) -> bool:
        """Return whether this process has a use for hints about a run."""
        return run_id in self._runner.live or self._runner.orphans.expects(run_id)

    def hint(self, run_id: str, handle: str) -> None:
        """
        Look now for the answer to a run, instead of at the next turn.

        If the run is not this process's, nothing happens; what `handle` finds is
        checked.
        """
        if (live := self._runner.live.get(run_id)) is not None:
            live.hints.give(handle)
            if is_searchable(live.provider):
                live.provider.hint(handle)
        self._runner.orphans.hint(run_id, handle)

    async def _accept_once(
        self, user: User, asked: NewRunSource, key: IdempotencyKey, *, is_followed: bool
    ) -> Run:
        """Look the key up before anything can be refused."""
        known = await self._admission.repeated(user, key)
        if known is not None:
            self.metrics.repeated.add()
            check_is_kept(known)
            return known
        try:
            live = await self._admission.begin(
                user, asked, key, is_followed=is_followed
            )
            run = await live.kept()
        except StorageUnavailable:
            raise  # to ask a database that is frozen once more takes as long again
        except LlamaKeepError:
            # Another request with this key may have been stored meanwhile.
            known = await self._admission.repeated(user, key)
            if known is None:
                raise
            run = known
        check_is_kept(run)
        return run

    async def _follow_stored(
        self, run: Run, position: Position
    ) -> AsyncGenerator[Update, None]:
        stored = follow_elsewhere(self._storage, self.mirrors, run, position)
        with reading(run):
            async with aclosing(stored) as updates:
                async for update in updates:
                    if isinstance(update, Delta | ItemDelta | Reset):
                        for piece in sliced(update):
                            yield piece
                    else:
                        yield update
                    if self.is_closed and not isinstance(update, Ended):
                        raise stopped()

    async def _stored_end(self, run: Run) -> Run:
        async with aclosing(self._follow_stored(run, Position())) as updates:
            async for update in updates:
                if isinstance(update, Ended):
                    if update.text is None:
                        return update.run
                    with reading(run):
                        return await self._storage.get_run(owner_of(run), run.id)
        raise AssertionError("a followed run ends")

    def _raise_for_status(self, run: Run) -> None:
        try:
            raise_for_status(run)
        except ProviderError as error:
            if error.retry_after is None:
                error.retry_after = self.circuits.upstreams.seconds_open(run.provider)
            raise
