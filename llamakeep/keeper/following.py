"""Following a run that another process works on, as it is stored."""

import asyncio
from collections.abc import AsyncGenerator

from llamakeep.domain import Run, RunStatus, User
from llamakeep.keeper.live import (
    Delta,
    Ended,
    Position,
    Reset,
    Silence,
    Update,
    catch_up,
)
from llamakeep.storage import Storage
from llamakeep.storage.lookups import Progress


async def follow_stored(
    storage: Storage, run: Run, position: Position, *, every: float
) -> AsyncGenerator[Update, None]:
    """
    Yield what is stored of `run` after `position`, until its end.

    Args:
        storage: Where it is.
        run: The run.
        position: How far its reader is.
        every: Seconds between two looks, each of which reads what is new.

    Raises:
        RunNotFound: It was deleted.
        StorageUnavailable: It cannot be read.
    """
    owner = User(run.user_id, "", run.created_at)
    seen: Progress | None = None
    while True:
        now = await storage.progress(run, after=position.offset)
        news: Delta | Reset | None = None
        if now.status is RunStatus.STARTING:
            pass  # what is stored is an earlier attempt's text, and may change
        elif not now.status.is_final and _goes_on_from(position, now):
            if now.text:
                news = Delta(now.text, Position(now.length, now.attempt))
        elif now != seen:
            run = await storage.get_run(owner, run.id)
            news = catch_up(run, position)
        seen = now
        if news is not None:
            yield news
            position = news.position
        if run.status.is_final:
            yield Ended(run)
            return
        yield Silence()
        await asyncio.sleep(every)


def _goes_on_from(position: Position, now: Progress) -> bool:
    """Return whether the stored text goes on where a reader stopped."""
    is_of_this_attempt = (position.attempt or 1) == now.attempt
    return not position.offset or (is_of_this_attempt and position.offset <= now.length)
