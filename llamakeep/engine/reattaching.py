"""Asking a provider that goes on without us: once, whatever happens in between."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from time import monotonic

from llamakeep.domain import Run, utc_now
from llamakeep.engine.gate import Gates
from llamakeep.engine.lateness import boot_time, claimed_at, lateness
from llamakeep.engine.live import LiveRun
from llamakeep.engine.orphans import is_wanted
from llamakeep.engine.patience import Patience
from llamakeep.errors import (
    AnswerExpired,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
    StorageUnavailable,
)
from llamakeep.providers.base import (
    Accepted,
    Candidate,
    CompletionRequest,
    Event,
    ReattachableProvider,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.leases import Held
from llamakeep.storage.runs.steps import Attached

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


class Reattaching:
    """Has runs answered by providers that can be asked for the same answer again."""

    def __init__(
        self, settings: Settings, storage: Storage, gates: Gates, *, node: str
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._gates = gates
        self._node = node

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

        Where an earlier request may have begun something, the database is asked who
        holds the run before anything else is begun: what another server has attached
        to it is not found by looking.

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
        held_since = None if was_begun else claimed_at(live.run)
        if was_begun and live.run.handle is None:
            await self._find(live, provider, request, patience, began)
        for pause in range(1, TRIES + 1):
            if live.run.handle is None and not live.is_lost:
                if held_since is None:
                    held_since = await self._hold(live, patience)
                request = self._timed(request, held_since)
                held_since = None
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
            events = self._gates.ask(provider, request)
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
                        if await self._is_wanted(live, event.handle, patience) is False:
                            return  # closing the generator cancels what was made
                        # It is read to its end for the server that has the run, unless
                        # that turns out to have another answer.
                        live.owed_handle = event.handle
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

    async def _hold(self, live: LiveRun, patience: Patience) -> float:
        """
        Renew the lease of a run, which is lost if another server has it.

        Returns:
            Since when it is held for as long as a lease, by `boot_time`.
        """
        since = 0.0

        async def renew() -> Sequence[Held]:
            nonlocal since
            since = boot_time()
            return await self._storage.renew(
                self._node, [live.run.id], lease=self._settings.lease
            )

        held = await patience.until_done(renew)
        if [each.attempt for each in held] != [live.run.attempt]:
            log.warning("run %s is another process's now", live.run.id)
            live.lose()
        return since

    def _timed(self, request: CompletionRequest, since: float) -> CompletionRequest:
        """Return `request` so that it is not sent once another server may have run."""
        if self._storage.is_sole_owner:
            return request
        return replace(request, is_late=lateness(self._settings.lease, since))

    async def _is_wanted(
        self, live: LiveRun, handle: str, patience: Patience
    ) -> bool | None:
        return await patience.until_done(
            lambda: is_wanted(self._storage, live.run, handle)
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
            found = await self._hinted(live, provider, request)
            if found is None:
                try:
                    found = await self._listed(provider, request, patience, began)
                except OUT_OF_REACH as error:
                    log.info("run %s cannot be looked for: %s", live.run.id, error)
                    await asyncio.sleep(error.retry_after or 0)
                    continue  # until the run has taken too long
            if found is None:
                looks -= 1
                continue
            attached = await self._attach_found(live, found.handle, patience)
            if attached is Attached.TAKEN:
                continue  # by a run that asked the same; there may be another one
            if attached is Attached.LOST:
                live.lose()
                if found.is_proven:
                    await self._stop_orphan(live, provider, found.handle, patience)
            else:
                log.warning(
                    "run %s continues with prediction %s", live.run.id, found.handle
                )
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
    ) -> Candidate | None:
        """Wait until what was begun is listed, or until a hint proves to be it."""
        until = monotonic() + self._settings.settle_time
        while handle := await live.hints.next(within=until - monotonic()):
            with suppress(ProviderError):
                if await provider.is_proven(request, handle):
                    return Candidate(handle, is_proven=True)
        return None

    async def _listed(
        self,
        provider: ReattachableProvider,
        request: CompletionRequest,
        patience: Patience,
        began: float | None,
    ) -> Candidate | None:
        within = KNOWN_FOR
        if began is not None:
            within = timedelta(seconds=monotonic() - began) + MARGIN
        found = await provider.find(request, within=within)
        handles = [each.handle for each in found]
        known = await patience.until_done(
            lambda: self._storage.known_handles(provider.name, handles)
        )
        return next((each for each in found if each.handle not in known), None)

    async def _stop_orphan(
        self,
        live: LiveRun,
        provider: ReattachableProvider,
        handle: str,
        patience: Patience,
    ) -> None:
        """Stop what was begun for a run that is lost, unless its holder wants it."""
        for _ in range(TRIES):
            # Meanwhile the holder looks for it, too.
            await asyncio.sleep(HOLDER_LOOKS * self._settings.settle_time)
            match await self._is_wanted(live, handle, patience):
                case True:
                    return
                case False:
                    log.info(
                        "run %s: no run has %s; it is stopped", live.run.id, handle
                    )
                    await provider.cancel(handle)
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
    if (now := provider.now()) is not None:
        age = max(age, now - started_at)
    return not -CLOCKS_APART <= age <= REMEMBERED


def _noted(live: LiveRun, handle: str, attached: Attached) -> Attached:
    if attached is Attached.KEPT:
        live.run = replace(live.run, handle=handle)
    return attached
