"""Deleting all that was a deleted user's, while everybody else is served."""

import asyncio
import logging
from contextlib import suppress

from llamakeep.deletion.batches import delete_in_batches
from llamakeep.domain import User
from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import EVERYTHING

PATIENCE = 15
"""
Seconds that the runs of a deleted user have to stop.

A process hears within a quarter of a lease that it is to stop one. What has not stopped
by then belongs to a process that is frozen or gone, and finds nothing left to write to.
"""
PAUSE = 2.0
"""Seconds between two looks for users whom somebody else deleted, or left."""

HELD_AGAIN = 1.0
"""Seconds after which a purge says that it goes on; well below its lease."""

_LOOK = 0.05

log = logging.getLogger(__name__)


class Purging:
    """
    Purges users who are deleted, one after the other; what is left over, as well.

    Any process of a database may do it, and one at a time does.

    Args:
        storage: Where everything is.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._is_wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._go_on())

    def begin(self) -> None:
        """Look now for somebody to purge."""
        self._is_wanted.set()

    async def close(self) -> None:
        """Stop; the next process does the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _go_on(self) -> None:
        while True:
            self._is_wanted.clear()
            try:
                while await purge_one(self._storage):
                    pass
            except StorageUnavailable as error:
                log.info("deleted users cannot be purged: %s", error.detail)
            except Exception:
                log.exception("deleted users are not purged")
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._is_wanted.wait()


async def purge_one(
    storage: Storage, user: User | None = None, *, patience: float = PATIENCE
) -> bool:
    """
    Purge a deleted user whom nobody else is at.

    Args:
        storage: Where everything is.
        user: Whom; `None` for anybody.
        patience: Seconds that their runs have to stop.

    Returns:
        Whether there was one.
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
    """Wait until nothing is left of a deleted user."""
    while not await storage.is_purged(user):  # noqa: ASYNC110 - maybe elsewhere
        await asyncio.sleep(_LOOK)


async def _hold(storage: Storage, user: User) -> None:
    while True:
        await asyncio.sleep(HELD_AGAIN)
        with suppress(StorageUnavailable):
            await storage.hold_deleted_user(user)


async def _purge(storage: Storage, user: User, patience: float) -> None:
    told: set[str] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while left := await storage.unfinished_runs(user):
                # Whoever was let in before the deletion may have sent a prompt since.
                if not told.issuperset(left):
                    await storage.stop_runs_of(user)
                    told.update(left)
                await asyncio.sleep(_LOOK)
    count = await storage.count_runs(user, EVERYTHING, before=HIGHEST)
    pace = await storage.pace(count)
    async for _ in delete_in_batches(storage, user, pace, before=HIGHEST):
        pass
    # Also the words that an earlier process left there.
    await storage.erase_words()
    await storage.finish_purge(user)
    await storage.erase_traces()
    if count:
        log.info("%d runs of a deleted user are gone", count)
