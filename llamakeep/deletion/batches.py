"""Deleting many runs, a few at a time: who only asks does not wait for all of them."""

import asyncio
import time
from collections.abc import AsyncIterator

from llamakeep.domain import User
from llamakeep.storage import Storage
from llamakeep.storage.deletion.traces import DeletionPace
from llamakeep.storage.history.filters import EVERYTHING, RunFilter

PAGE = 500
"""Runs that are found at once; what is found is deleted a few at a time."""

MERGED_AFTER = 16
"""Turns after which the index is merged a little."""


async def delete_in_batches(
    storage: Storage,
    user: User,
    pace: DeletionPace,
    *,
    matching: RunFilter = EVERYTHING,
    before: str,
    shared: bool = False,
) -> AsyncIterator[int]:
    """
    Delete a user's runs that are over, and yield how many it were each time.

    Args:
        storage: Where they are.
        user: Whose.
        pace: How many at once.
        matching: Only those that this filter lets through.
        before: Only those that are older than this id.
        shared: Whether others may be deleting the same ones.
    """
    after, count = "", 0
    while run_ids := await storage.find_finished(
        user, matching, after=after, before=before, limit=PAGE
    ):
        after = run_ids[-1]
        while run_ids:
            began = time.monotonic()
            forgotten = await storage.forget(user, run_ids, pace, shared=shared)
            took = time.monotonic() - began
            yield forgotten.deleted
            run_ids = run_ids[forgotten.tried :]
            count += 1
            if pace.keeps_words and count % MERGED_AFTER == 0:
                await storage.merge_words()
            await storage.keep_up()
            await asyncio.sleep(pace.rest * took)
