"""Deleting many runs in small batches, so that other requests do not wait long."""

import asyncio
import time
from collections.abc import AsyncIterator

from llamakeep.domain import User
from llamakeep.storage import Storage
from llamakeep.storage.deletion.traces import DeletionPace
from llamakeep.storage.history.filters import EVERYTHING, RunFilter

PAGE = 500
"""How many runs one query finds; they are deleted a few at a time."""

MERGED_AFTER = 16
"""After so many batches, a part of the search index is merged."""


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
    Delete a user's finished runs, and yield the size of each batch.

    Only those that match and have ids lower than `before` are deleted. If other
    processes may be deleting the same ones, these are `shared`.
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
