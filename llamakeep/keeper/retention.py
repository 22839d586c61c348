"""Deleting runs that are older than anybody wants them, while everybody is served."""

import asyncio
import logging

from llamakeep.errors import StorageUnavailable
from llamakeep.keeper.turns import turns
from llamakeep.storage import Storage
from llamakeep.storage.filters import EVERYTHING

PAUSE = 3600
"""Seconds between two looks for runs that have become too old."""

log = logging.getLogger(__name__)


class Retention:
    """
    Deletes what is too old, now and every hour.

    On a shared database every process does: what one is deleting, the others pass by.

    Args:
        storage: Where the runs are.
        days: For how many days they are kept, where nothing else is said.
    """

    def __init__(self, storage: Storage, days: int | None) -> None:
        self._storage = storage
        self._days = days
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._go_on())

    async def close(self) -> None:
        """Stop; the next process does the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _go_on(self) -> None:
        while True:
            try:
                await sweep(self._storage, self._days)
            except StorageUnavailable as error:
                log.warning("old runs cannot be deleted: %s", error.detail)
            except Exception:
                log.exception("old runs are not deleted")
            await asyncio.sleep(PAUSE)


async def sweep(storage: Storage, days: int | None) -> int:
    """
    Forget for good what is too old and not going on, and count it.

    Args:
        storage: Where the runs are.
        days: For how many days they are kept, where nothing else is said.
    """
    await storage.erase_words()  # if a deletion broke off
    whose = await storage.users_with_old_runs(days)
    pace = await storage.pace(
        sum(
            [
                await storage.count_runs(user, EVERYTHING, before=before)
                for user, before in whose
            ]
        )
    )
    deleted = 0
    try:
        for user, before in whose:
            # What another process is deleting is as good as deleted.
            some = turns(storage, user, pace, before=before, shared=True)
            async for count in some:
                deleted += count
    finally:
        if deleted:
            await storage.note_retention(deleted)
    if deleted:
        log.info("%d runs were too old and are deleted", deleted)
        await storage.erase_traces()
    return deleted
