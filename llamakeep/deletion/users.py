"""Purging: deleting the data of deleted users."""

import asyncio
import logging
from contextlib import suppress

from llamakeep.deletion.batches import delete_in_batches
from llamakeep.domain import User
from llamakeep.errors import StorageUnavailable
from llamakeep.repeated import Repeated
from llamakeep.storage import Storage
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import EVERYTHING

PATIENCE = 15
"""
Seconds that the runs of a deleted user have to stop.

Processes read a request to stop a run within a quarter of a lease. Runs that have not
stopped by then belong to a process that is frozen or dead; when it writes, it finds
that the run is deleted.
"""
PAUSE = 5.0
"""Seconds between two queries for deleted users with data."""

HELD_AGAIN = 1.0
"""Seconds between two renewals of a purge's lease, which is much longer."""

_LOOK = 0.05

log = logging.getLogger(__name__)


class Purging:
    """
    Purges deleted users one after the other, also those of processes that died.

    Every process of a database does so; a lease makes one at a time purge a user.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._task = Repeated("purging deleted users", self._purge_all, every=PAUSE)

    def open(self) -> None:
        """Start the task."""
        self._task.open(at_once=True)

    def begin(self) -> None:
        """Look for deleted users now."""
        self._task.wake()

    async def close(self) -> None:
        """Stop the task; another process deletes the rest."""
        await self._task.close()

    async def _purge_all(self) -> None:
        while await purge_one(self._storage):
            pass


async def purge_one(
    storage: Storage, user: User | None = None, *, patience: float = PATIENCE
) -> bool:
    """
    Purge one deleted user that no other process is purging.

    The user's runs have `patience` seconds to stop.

    Returns:
        Whether there was such a user.
    """
    user = await storage.claim_deleted_user(user)
    if user is None:
        return False
    holding = asyncio.create_task(_hold(storage, user))
    try:
        await _purge(storage, user, patience)
    finally:
        holding.cancel()
        await asyncio.wait([holding])
    return True


async def purged(storage: Storage, user: User) -> None:
    """Wait until all data of a deleted user is deleted."""
    while not await storage.is_purged(user):  # noqa: ASYNC110 - maybe elsewhere
        await asyncio.sleep(_LOOK)


async def _hold(storage: Storage, user: User) -> None:
    while True:
        await asyncio.sleep(HELD_AGAIN)
        with suppress(StorageUnavailable):
            await storage.hold_deleted_user(user)


async def _purge(storage: Storage, user: User, patience: float) -> None:
    asked: set[str] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while left := await storage.unfinished_runs(user):
                # A request that was authenticated before may have added runs since.
                if not asked.issuperset(left):
                    await storage.stop_runs_of(user)
                    asked.update(left)
                await asyncio.sleep(_LOOK)
    count = await storage.count_runs(user, EVERYTHING, before=HIGHEST)
    pace = await storage.pace(count)
    async for _ in delete_in_batches(storage, user, pace, before=HIGHEST):
        pass
    # Also those that an interrupted purge has left.
    await storage.erase_words()
    await storage.finish_purge(user)
    await storage.erase_traces()
    if count:
        log.info("%d runs of a deleted user are purged", count)
