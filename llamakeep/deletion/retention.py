"""Deleting runs that are older than anybody wants them, while everybody is served."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from llamakeep.deletion.batches import delete_in_batches
from llamakeep.domain import User, utc_now
from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage
from llamakeep.storage.database.clock import LONGEST_GAP
from llamakeep.storage.history.filters import EVERYTHING

PAUSE = 3600
"""Seconds between two looks for runs that have become too old."""

LONGEST_IDLE_GAP = timedelta(days=30)
"""How far the clock may be ahead of its last look where no run becomes too old."""

LARGEST_SHARE = 0.5
"""Which part of all runs one sweep may delete without having been confirmed."""

MANY = 100
"""Fewer runs than this are never too many for one sweep."""

HOW_TO_CONFIRM = (
    "If that is right, run `llamakeep apply-retention` once, with the same settings"
)

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
                log.info("old runs cannot be deleted: %s", error.detail)
            except Exception:
                log.exception("old runs are not deleted")
            await asyncio.sleep(PAUSE)


async def sweep(
    storage: Storage,
    days: int | None,
    *,
    now: datetime | None = None,
    is_confirmed: bool = False,
) -> int:
    """
    Forget for good what is too old and not going on, and count it.

    Nothing is deleted while the clock is not plausible, or if most runs would go.

    Args:
        storage: Where the runs are.
        days: For how many days they are kept, where nothing else is said.
        now: What the clock says; by default, it is looked at.
        is_confirmed: Whether a person said that the clock is right, and that as many
            runs are to be deleted as are too old.
    """
    now = now or utc_now()
    await storage.erase_words()  # if a deletion broke off
    if is_confirmed:
        await storage.believe_clock(now)
    elif (seen_at := await _last_plausible(storage, days, now)) is not None:
        log.warning(
            "nothing is deleted for its age: the clock says %s, and was last plausible "
            "at %s, %.0f days before. %s",
            f"{now:%Y-%m-%dT%H:%M:%SZ}",
            f"{seen_at:%Y-%m-%dT%H:%M:%SZ}",
            (now - seen_at) / timedelta(days=1),
            HOW_TO_CONFIRM,
        )
        return 0
    old = await old_runs(storage, days, now=now)
    if not is_confirmed and await _are_too_many(storage, old):
        log.warning(
            "nothing is deleted for its age: %d runs would be, which is more than half "
            "of all. %s",
            old.count,
            HOW_TO_CONFIRM,
        )
        return 0
    pace = await storage.pace(old.count)
    deleted = 0
    try:
        for user, before in old.whose:
            # What another process is deleting is as good as deleted.
            some = delete_in_batches(storage, user, pace, before=before, shared=True)
            async for count in some:
                deleted += count
    finally:
        if deleted:
            await storage.note_retention(deleted)
    if deleted:
        log.info("%d runs were too old and are deleted", deleted)
        await storage.erase_traces()
    return deleted


@dataclass(frozen=True, slots=True)
class OldRuns:
    """What is older than it may be."""

    whose: Sequence[tuple[User, str]]
    """Users, and the id below which their runs are too old."""
    count: int
    not_chosen: int
    """How many of those their users did not want deleted so soon themselves."""


async def old_runs(storage: Storage, days: int | None, *, now: datetime) -> OldRuns:
    """Return the runs that are too old at `now`, where they are kept for `days`."""
    whose = await storage.users_with_old_runs(days, now=now)
    said = await storage.retentions([user.id for user, _ in whose])
    count = not_chosen = 0
    for user, before in whose:
        some = await storage.count_runs(user, EVERYTHING, before=before)
        count += some
        retention = said.get(user.id)
        if retention is None or not retention.is_own(days):
            not_chosen += some
    return OldRuns(whose, count, not_chosen)


async def _last_plausible(
    storage: Storage, days: int | None, now: datetime
) -> datetime | None:
    """Return when the clock was last plausible, if it is not `now`."""
    shortest = await storage.shortest_retention(days)
    longest_gap = LONGEST_IDLE_GAP
    if shortest is not None:
        longest_gap = min(LONGEST_GAP, timedelta(days=shortest))
    return await storage.check_clock(now, longest_gap=longest_gap)


async def _are_too_many(storage: Storage, old: OldRuns) -> bool:
    if old.not_chosen < MANY:
        return False
    return old.not_chosen > LARGEST_SHARE * await storage.count_all_runs()
