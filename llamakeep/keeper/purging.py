"""Deleting all that is a user's, while everybody else is served."""

import asyncio
from contextlib import suppress

from llamakeep.domain import Actor, User
from llamakeep.storage import Storage

PATIENCE = 15
"""
Seconds that the runs of a disabled user have to stop.

A process hears within a quarter of a lease that it is to stop one. What has not stopped
by then belongs to a process that is frozen or gone, and finds nothing left to write to.
"""
_LOOK = 0.05


async def purge(
    storage: Storage, user: User, *, actor: Actor, patience: float = PATIENCE
) -> None:
    """
    Delete a disabled user, once their runs have stopped, a few rows at a time.

    Raises:
        UserNotFound: Somebody else was faster.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while await storage.unfinished_runs(user):  # noqa: ASYNC110 - maybe elsewhere
                await asyncio.sleep(_LOOK)
    while await storage.purge_runs(user):
        pass
    await storage.delete_user(user, actor=actor)
    await storage.erase_traces()
