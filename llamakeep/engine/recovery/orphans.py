"""Answers that were begun for runs which do not want them any more."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from llamakeep.domain import Run, RunStatus
from llamakeep.engine.context import messages
from llamakeep.engine.live import LiveRun
from llamakeep.engine.recovery.hints import Hints
from llamakeep.errors import LlamaKeepError, RunNotFound
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.searchable import SearchableProvider, is_searchable
from llamakeep.settings import Settings
from llamakeep.storage import Storage

KNOWN_FOR = timedelta(hours=1)
"""How far back to look for what another process may have begun, whatever its clock."""

LAST_LOOKS = 2
"""Seconds that looks may take when the process stops."""

log = logging.getLogger(__name__)


class Orphans:
    """
    Looks for what was begun for canceled runs, and cancels it, in the background.

    Only what is provably a run's own is: something alike may be another client's. What
    is not found, or not before this process ends, ends at its deadline.
    """

    def __init__(self, settings: Settings) -> None:
        self._settle_time = settings.settle_time
        self._searches: dict[str, tuple[Hints, asyncio.Task[None]]] = {}
        self._is_closing = False

    def cancel_orphan(self, live: LiveRun) -> None:
        """Look for an answer of which no handle is known, where that may exist."""
        run, provider = live.run, live.provider
        if run.handle is not None or run.id in self._searches or provider is None:
            return
        if is_searchable(provider) and provider.marks_answers:
            task = asyncio.create_task(self._search(live, provider))
            self._searches[run.id] = live.hints, task
            task.add_done_callback(lambda _: self._searches.pop(run.id))

    def expects(self, run_id: str) -> bool:
        """Return whether a hint about a run is of use."""
        return run_id in self._searches

    def hint(self, run_id: str, handle: str) -> None:
        """Say where the answer to a run may be."""
        if run_id in self._searches:
            self._searches[run_id][0].give(handle)

    async def close(self) -> None:
        """Look once more, now; then leave the rest to its deadline."""
        self._is_closing = True
        tasks = []
        for hints, task in self._searches.values():
            hints.end()
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LAST_LOOKS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _search(self, live: LiveRun, provider: SearchableProvider) -> None:
        run = live.run
        request = CompletionRequest(
            run_id=run.id,
            attempt=run.attempt,
            model=run.model,
            # What was said before would only tell which ones are alike.
            messages=messages(run, ()),
            parameters=run.parameters,
        )
        looks = 2
        while looks:
            handle = await live.hints.next(within=self._settle_time)
            if handle is None:
                looks = 0 if self._is_closing else looks - 1
            with suppress(LlamaKeepError):
                if handle is None:
                    found = await provider.find(request, within=KNOWN_FOR)
                    proven = [each.handle for each in found if each.is_proven]
                else:
                    is_proven = await provider.is_proven(request, handle)
                    proven = [handle] if is_proven else []
                for each in proven:
                    await provider.cancel(each)
                    log.info("run %s: %s is stopped, too", run.id, each)
                if proven:
                    return


async def is_wanted(storage: Storage, run: Run, handle: str) -> bool | None:
    """
    Return whether a run has this answer, or its holder may still find it.

    Returns:
        `None` as long as the holder may look for it: stopped, it would be begun again.
    """
    if await storage.known_handles(run.provider, [handle]):
        return True
    try:
        now = await storage.progress(run, after=0)
    except RunNotFound:
        return False
    return None if now.status is RunStatus.STARTING else False
