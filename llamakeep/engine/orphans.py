"""Whether an answer is read that was begun for a run which another server has now."""

from llamakeep.domain import Run, RunStatus
from llamakeep.errors import RunNotFound
from llamakeep.storage import Storage


async def is_wanted(storage: Storage, run: Run, handle: str) -> bool | None:
    """
    Return whether a run has this answer, or its holder may still find it.

    Args:
        storage: Where runs are.
        run: The run that it was begun for.
        handle: What finds the answer.

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
