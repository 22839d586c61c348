"""Deleting all that is a user's, while everybody else is served."""

import asyncio
from contextlib import suppress
from functools import partial

from llamakeep.domain import Actor, User, new_id
from llamakeep.keeper.turns import pace, turns
from llamakeep.storage import Storage
from llamakeep.storage.filters import EVERYTHING

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
    count = await storage.count_runs(user, EVERYTHING, before=new_id("run_"))
    limit, leave = await pace(storage, count)
    delete = partial(storage.purge_runs, user, limit=limit, leave_traces=leave)
    async for _ in turns(delete, limit):
        pass
    await storage.delete_user(user, actor=actor)
    await storage.erase_traces()
