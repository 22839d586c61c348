"""Deleting many runs, a few at a time: who only asks does not wait for all of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from llamakeep.storage import Storage

AT_ONCE = 5
"""Runs; nobody else can write while they are deleted, which takes SQLite some 2 ms."""
AT_ONCE_WITH_WORDS = 2
"""The same, where the words of each are cut out of the index by themselves."""


async def pace(storage: Storage, count: int) -> tuple[int, bool]:
    """Return how many of `count` runs to delete at once, and whether words are left."""
    leave = await storage.is_worth_merging(count)
    return AT_ONCE if leave else AT_ONCE_WITH_WORDS, leave


async def turns(delete: Callable[[], Awaitable[int]], limit: int) -> AsyncIterator[int]:
    """
    Delete until there is nothing left, and yield how many it were each time.

    Others have at least half of the time.

    Args:
        delete: Deletes up to `limit`, and counts them.
        limit: What it stays below when nothing is left.
    """
    while True:
        began = time.monotonic()
        count = await delete()
        yield count
        if count < limit:
            return
        await asyncio.sleep(time.monotonic() - began)
