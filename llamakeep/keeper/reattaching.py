"""Asking a provider that goes on without us: once, whatever happens in between."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from time import monotonic

from llamakeep.domain import Run, utc_now
from llamakeep.errors import (
    AnswerExpired,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
    StorageUnavailable,
)
from llamakeep.keeper.gate import Gates
from llamakeep.keeper.live import LiveRun
from llamakeep.keeper.patience import Patience
from llamakeep.providers.base import (
    Accepted,
    CompletionRequest,
    Event,
    ReattachableProvider,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs import Attached

KNOWN_FOR = timedelta(hours=1)
"""How far back to look for what another process may have begun, whatever its clock."""

MARGIN = timedelta(seconds=30)
"""What is added to the time that has passed here since an answer was asked for."""

REMEMBERED = timedelta(minutes=55)
"""How long a provider can be asked what it answered; Replicate forgets in an hour."""

CLOCKS_APART = timedelta(minutes=5)
"""How far the clocks of servers may be apart, and theirs from the provider's."""

TRIES = 4
"""How often an answer that broke off is asked for, with growing pauses."""

SAFE_PART = 0.75
"""Of a lease: for so long after a claim, no other server has taken a run over."""

OUT_OF_REACH = (
    ProviderUnavailable,
    ProviderTimeout,
    ProviderRateLimited,
    ProviderAnswerInvalid,
)
"""What passes by itself."""

log = logging.getLogger(__name__)


class Reattaching:
    """Has runs answered by providers that can be asked for the same answer again."""

    def __init__(self, settings: Settings, storage: Storage, gates: Gates) -> None:
        self._settings = settings
        self._storage = storage
        self._gates = gates

    async def answer(
        self,
        live: LiveRun,
        provider: ReattachableProvider,
        request: CompletionRequest,
        patience: Patience,
        *,
        was_begun: bool,
    ) -> None:
        """
        Have a run answered: begin, go on, or find what was begun.

        Args:
            live: The run.
            provider: Who answers.
            request: What is asked.
            patience: How the run waits for the database.
            was_begun: Whether an earlier attempt may have asked already.

        Raises:
            AnswerExpired: There was an answer, and it cannot be had any more.
            GateClosed: There is none, and none can be asked for now.
            LlamaKeepError: What `ReattachableProvider.answer` or `resume` raised.
        """
        began = None if was_begun else monotonic()
        if was_begun and live.run.handle is None:
            await self._find(live, provider, request, patience, began)
        for pause in range(1, TRIES + 1):
            if live.is_lost:
                return
            try:
                await self._receive(live, provider, request, patience)
            except ProviderError as error:
                if not error.answer_may_exist or pause == TRIES:
                    raise
                log.info("run %s: %s It is asked for again.", live.run.id, error.detail)
            else:
                return
            if live.run.handle is None:
                await self._find(live, provider, request, patience, began)
                request = replace(request, is_late=never_late)
            else:
                await asyncio.sleep(pause)

    async def _receive(
        self,
        live: LiveRun,
        provider: ReattachableProvider,
        request: CompletionRequest,
        patience: Patience,
    ) -> None:
        """Take in an answer; of one that is resumed, what is not here yet."""
        handle = live.run.handle
        received = live.text
        events: AsyncGenerator[Event, None]
        if handle is None:
            events = self._gates.ask(provider, self._timed(live.run, request))
        else:
            events = provider.resume(request, handle)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Accepted) and event.handle is not None:
                    if event.is_whole:
                        # It is kept together with the answer, in one commit.
                        live.run = replace(live.run, handle=event.handle)
                    elif await self._attach_new(live, event.handle) is Attached.LOST:
                        live.lose()
                        if not await self._is_somebodys(
                            provider, event.handle, patience
                        ):
                            return  # closing the generator cancels what was made
                        # It is heard out, so that it goes on for who has found it.
                    live.receive(event)
                elif isinstance(event, str) and received:
                    size = min(len(event), len(received))
                    if event[:size] != received[:size]:
                        raise ProviderAnswerInvalid(
                            "The provider's answer is not the one that it had begun; "
                            "the text so far is kept."
                        )
                    received = received[size:]
                    if rest := event[size:]:
                        live.receive(rest)
                else:
                    live.receive(event)

    def _timed(self, run: Run, request: CompletionRequest) -> CompletionRequest:
        """Return `request` so that it is not sent once another server may have run."""
        if self._storage.is_sole_owner:
            return request
        is_late = lateness(self._settings.lease, run, request)
        return replace(request, is_late=is_late)

    async def _is_somebodys(
        self, provider: ReattachableProvider, handle: str, patience: Patience
    ) -> bool:
        return bool(
            await patience.until_done(
                lambda: self._storage.known_handles(provider.name, [handle])
            )
        )

    async def _attach_new(self, live: LiveRun, handle: str) -> Attached:
        """Keep what finds an answer again that has begun, now or while it comes."""
        if handle == live.run.handle:
            return Attached.KEPT
        try:
            attached = await self._storage.attach(live.run, handle)
        except StorageUnavailable as error:
            # Until then it is found by listing, should this process die.
            log.info("run %s is attached later: %s", live.run.id, error.detail)
            live.owed_handle = handle
            attached = Attached.KEPT
        return _noted(live, handle, attached)

    async def _attach_found(
        self, live: LiveRun, handle: str, patience: Patience
    ) -> Attached:
        """Keep what finds the answer again, unless another run has it."""
        attached = await patience.until_done(
            lambda: self._storage.attach(live.run, handle)
        )
        return _noted(live, handle, attached)

    async def _find(
        self,
        live: LiveRun,
        provider: ReattachableProvider,
        request: CompletionRequest,
        patience: Patience,
        began: float | None,
    ) -> None:
        """
        Look for what an earlier attempt may have begun, twice, some time apart.

        A hint that proves right saves the waiting.

        Args:
            live: The run.
            provider: Who answers.
            request: What was asked.
            patience: How the run waits for the database.
            began: When this process began to ask, by `monotonic`, if it was the first.

        Raises:
            AnswerExpired: It is so long ago that nobody can tell.
        """
        looks = 2
        while looks:
            handle = await self._hinted(live, provider, request)
            if handle is None:
                try:
                    handle = await self._listed(provider, request, patience, began)
                except OUT_OF_REACH as error:
                    log.info("run %s cannot be looked for: %s", live.run.id, error)
                    await asyncio.sleep(error.retry_after or 0)
                    continue  # until the run has taken too long
            if handle is None:
                looks -= 1
                continue
            attached = await self._attach_found(live, handle, patience)
            if attached is Attached.TAKEN:
                continue  # by a run that asked the same; there may be another one
            log.warning("run %s goes on with %s", live.run.id, handle)
            if attached is Attached.LOST:
                live.lose()
            return
        if _may_be_forgotten(live.run, provider, began):
            raise AnswerExpired(
                "The server was away for too long to find out whether the provider "
                "had answered. Send the prompt again if you want to pay for it again."
            )

    async def _hinted(
        self,
        live: LiveRun,
        provider: ReattachableProvider,
        request: CompletionRequest,
    ) -> str | None:
        """Wait until what was begun is listed, or until a hint proves to be it."""
        until = monotonic() + self._settings.settle_time
        while handle := await live.hints.next(within=until - monotonic()):
            with suppress(ProviderError):
                if await provider.is_proven(request, handle):
                    return handle
        return None

    async def _listed(
        self,
        provider: ReattachableProvider,
        request: CompletionRequest,
        patience: Patience,
        began: float | None,
    ) -> str | None:
        within = KNOWN_FOR
        if began is not None:
            within = timedelta(seconds=monotonic() - began) + MARGIN
        found = await provider.find(request, within=within)
        handles = [each.handle for each in found]
        known = await patience.until_done(
            lambda: self._storage.known_handles(provider.name, handles)
        )
        return next((handle for handle in handles if handle not in known), None)


def never_late() -> bool:
    """Return that there is time."""
    return False


def _boot_time() -> float:
    """Return seconds that pass while a machine is suspended, too, where it can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return monotonic()


def lateness(
    lease: float,
    run: Run,
    request: CompletionRequest,
    *,
    clock: Callable[[], float] = _boot_time,
) -> Callable[[], bool]:
    """
    Return what tells whether a process was frozen for so long that it lost its run.

    Args:
        lease: Seconds for which a run is held.
        run: The run, which was claimed a moment ago or is known to be held.
        request: What is asked; if `is_late` is set, this is not the first time.
        clock: Tells seconds.
    """
    until = clock() + lease * SAFE_PART
    if request.attempt == 1 and request.is_late is None and run.started_at is not None:
        # It may have been frozen between the claim and this.
        until -= max(0.0, (utc_now() - run.started_at).total_seconds())
    return lambda: clock() > until


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
    if (now := provider.now()) is not None:
        age = max(age, now - started_at)
    return not -CLOCKS_APART <= age <= REMEMBERED


def _noted(live: LiveRun, handle: str, attached: Attached) -> Attached:
    if attached is Attached.KEPT:
        live.run = replace(live.run, handle=handle)
    return attached
