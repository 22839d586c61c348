"""Asking a reattachable provider: once, whatever happens in between."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import monotonic

from llamakeep.domain import Run, utc_now
from llamakeep.engine.circuits.upstreams import CircuitBreakers
from llamakeep.engine.live import LiveRun
from llamakeep.engine.recovery.leases import Recovery
from llamakeep.engine.recovery.orphans import KNOWN_FOR, is_wanted
from llamakeep.engine.recovery.repetition import Repetition
from llamakeep.engine.retries import Retries
from llamakeep.errors import (
    AnswerExpired,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
    StorageUnavailable,
)
from llamakeep.metrics.metrics import Metrics
from llamakeep.providers.base import (
    Accepted,
    Candidate,
    CompletionRequest,
    Event,
    Finished,
    ReattachableProvider,
)
from llamakeep.providers.searchable import (
    SearchableProvider,
    finds_again,
    is_searchable,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.steps import Attached

MARGIN = timedelta(seconds=30)
"""What is added to the time that has passed here since an answer was asked for."""

REMEMBERED = timedelta(minutes=55)
"""How long a provider can be asked what it answered; Replicate forgets in an hour."""

CLOCKS_APART = timedelta(minutes=5)
"""How far the clocks of servers may be apart, and theirs from the provider's."""

TRIES = 4
"""How often an answer that broke off is asked for, with growing pauses."""

HOLDER_LOOKS = 3
"""Settle times in which the holder of a run looks for its answer twice."""

OUT_OF_REACH = (
    ProviderUnavailable,
    ProviderTimeout,
    ProviderRateLimited,
    ProviderAnswerInvalid,
)
"""What passes by itself."""

log = logging.getLogger(__name__)


class Reattachment:
    """Has one run answered by a provider that keeps answers to be asked for again."""

    def __init__(
        self,
        live: LiveRun,
        provider: ReattachableProvider,
        request: CompletionRequest,
        deadline: asyncio.Timeout,
        *,
        settings: Settings,
        storage: Storage,
        breakers: CircuitBreakers,
        recovery: Recovery,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._breakers = breakers
        self._recovery = recovery
        self._metrics = metrics
        self._live = live
        self._provider = provider
        # It is not sent once another server may have the run.
        is_late = None if storage.is_sole_owner else self._is_late
        self._request = replace(request, is_late=is_late)
        self._retries = Retries(live, deadline=deadline)
        self._began: float | None = None
        """When this process began to ask, by `monotonic`, if it was the first."""

    async def answer(self, *, was_begun: bool) -> None:
        """
        Have the run answered: begin, continue, or find what was begun.

        Where an earlier request may have begun something, the database is asked who
        holds the run before anything else is begun: what another server has attached
        to it is not found by looking.

        Raises:
            AnswerExpired: There was an answer, and it cannot be had any more.
            CircuitOpen: There is none, and none can be asked for now.
            LlamaKeepError: What `ReattachableProvider.answer` or `resume` raised.
        """
        live = self._live
        if not was_begun:
            self._began = monotonic()
        elif live.run.handle is None:
            await self._find()
        else:
            self._metrics.reattached.add()
        for pause in range(1, TRIES + 1):
            if live.run.handle is None and (was_begun or pause > 1):
                await self._hold()
                self._request = replace(self._request, may_be_begun=True)
            if live.is_lost:
                return
            try:
                await self._receive()
            except ProviderError as error:
                if pause == TRIES or not self._may_ask_again(error):
                    raise
                log.info("run %s: %s It is asked for again.", live.run.id, error.detail)
            else:
                return
            if live.run.handle is None and is_searchable(self._provider):
                await self._find()
            else:
                await asyncio.sleep(pause)

    def _may_ask_again(self, error: ProviderError) -> bool:
        """Return whether asking again may find the answer, and begins no other one."""
        if not error.answer_may_exist:
            return False
        has_handle = self._live.run.handle is not None
        return has_handle or finds_again(self._provider) or not error.was_tried

    async def _receive(self) -> None:
        """Take in an answer; of one that is resumed, what is not here yet."""
        live, handle = self._live, self._live.run.handle
        repeated = Repetition(live.tape, live.heads)
        events: AsyncGenerator[Event, None]
        if handle is not None:
            events = self._provider.resume(self._request, handle)
        elif self._request.may_be_begun and not is_searchable(self._provider):
            # A circuit breaker does not stop what was begun, nor hand it to another.
            events = self._provider.answer(self._request)
        else:
            events = self._breakers.ask(self._provider, self._request)
        if live.trace is not None:
            events = live.trace.call(live.run.provider, self._request, events)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Accepted) and event.handle is not None:
                    if not await self._is_to_be_read(event, event.handle):
                        return  # closing the generator cancels what was made
                    live.receive(event)
                elif repeated.is_over or isinstance(event, Accepted | Finished):
                    live.receive(event)
                elif (news := repeated.news(event)) is not None:
                    live.receive(news)

    async def _is_to_be_read(self, accepted: Accepted, handle: str) -> bool:
        """Keep what finds an answer again, and return whether its text is wanted."""
        live = self._live
        if accepted.is_whole:
            # It is kept together with the answer, in one commit.
            live.run = replace(live.run, handle=handle)
        elif await self._attach_new(handle) is Attached.LOST:
            live.lose()
            if await self._is_wanted(handle) is False:
                return False
            # It is read to its end for the server that has the run, unless that turns
            # out to have another answer.
            live.owed_handle = handle
        return True

    async def _hold(self) -> None:
        """Renew this node's lease; the run is lost if another one has it."""
        if not self._live.is_lost:
            await self._retries.until_done(self._recovery.renew)

    def _is_late(self) -> bool:
        return self._live.is_lost or self._recovery.is_late()

    async def _is_wanted(self, handle: str) -> bool | None:
        return await self._retries.until_done(
            lambda: is_wanted(self._storage, self._live.run, handle)
        )

    async def _attach_new(self, handle: str) -> Attached:
        """Keep what finds an answer again that has begun, now or while it comes."""
        live = self._live
        if handle == live.run.handle:
            return Attached.KEPT
        try:
            attached = await self._storage.attach(live.run, handle)
        except StorageUnavailable as error:
            # Until then it is found by listing, should this process die.
            log.info("run %s is attached later: %s", live.run.id, error.detail)
            live.owed_handle = handle
            attached = Attached.KEPT
        return self._note(handle, attached)

    def _note(self, handle: str, attached: Attached) -> Attached:
        live = self._live
        if attached is Attached.KEPT:
            live.run = replace(live.run, handle=handle)
            if live.feed is not None:
                live.feed.changed(live.run.id)
        return attached

    async def _find(self) -> None:
        """Look for what an earlier attempt may have begun, if it can be looked for."""
        provider = self._provider
        if is_searchable(provider) and await self._search(provider):
            return
        if finds_again(provider) and _may_be_forgotten(
            self._live.run, provider, self._began
        ):
            raise AnswerExpired(
                "The server was away for too long to find out whether the provider "
                "had answered. Send the prompt again if you want to pay for it again."
            )

    async def _search(self, provider: SearchableProvider) -> bool:
        """
        Look twice, some time apart; return whether it was found, or is another's.

        A hint that proves right saves the waiting.
        """
        live, looks = self._live, 2
        while looks:
            found = await self._hinted(provider)
            if found is None:
                try:
                    found = await self._listed(provider)
                except OUT_OF_REACH as error:
                    log.info("run %s cannot be looked for: %s", live.run.id, error)
                    await asyncio.sleep(error.retry_after or 0)
                    continue  # until the run has taken too long
            if found is None:
                looks -= 1
                continue
            handle = found.handle
            attached = await self._retries.until_done(
                partial(self._storage.attach, live.run, handle)
            )
            if attached is Attached.TAKEN:
                continue  # by a run that asked the same; there may be another one
            if self._note(handle, attached) is Attached.LOST:
                live.lose()
                if found.is_proven:
                    await self._cancel_orphan(handle)
            else:
                self._metrics.duplicates_avoided.add()
                log.warning("run %s continues with prediction %s", live.run.id, handle)
            return True
        return False

    async def _hinted(self, provider: SearchableProvider) -> Candidate | None:
        """Wait until what was begun is listed, or until a hint proves to be it."""
        until = monotonic() + self._settings.settle_time
        while handle := await self._live.hints.next(within=until - monotonic()):
            with suppress(ProviderError):
                if await provider.is_proven(self._request, handle):
                    return Candidate(handle, is_proven=True)
        return None

    async def _listed(self, provider: SearchableProvider) -> Candidate | None:
        within = KNOWN_FOR
        if self._began is not None:
            within = timedelta(seconds=monotonic() - self._began) + MARGIN
        found = await provider.find(self._request, within=within)
        handles = [each.handle for each in found]
        known = await self._retries.until_done(
            lambda: self._storage.known_handles(provider.name, handles)
        )
        return next((each for each in found if each.handle not in known), None)

    async def _cancel_orphan(self, handle: str) -> None:
        """Cancel what was begun for a run that is lost, unless its holder wants it."""
        for _ in range(TRIES):
            # Meanwhile the holder looks for it, too.
            await asyncio.sleep(HOLDER_LOOKS * self._settings.settle_time)
            match await self._is_wanted(handle):
                case True:
                    return
                case False:
                    run_id = self._live.run.id
                    log.info("run %s: no run has %s; it is stopped", run_id, handle)
                    await self._provider.cancel(handle)
                    return


def _may_be_forgotten(
    run: Run, provider: ReattachableProvider, began: float | None
) -> bool:
    """
    Return whether a run may have begun so long ago that its answer is forgotten.

    Where another process began it, the clock that it used may have been wrong, or ours
    may be: so the provider's has to agree. When a run began that began in the future,
    cannot be known.
    """
    if began is not None:
        return timedelta(seconds=monotonic() - began) > REMEMBERED
    started_at = run.started_at or run.created_at
    age = utc_now() - started_at
    if is_searchable(provider) and (now := provider.now()) is not None:
        age = max(age, now - started_at)
    return not -CLOCKS_APART <= age <= REMEMBERED
