"""Retention: deleting runs that are older than the settings or their user permit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from llamakeep.deletion.batches import delete_in_batches
from llamakeep.domain import User, utc_now
from llamakeep.repeated import Repeated
from llamakeep.storage import Storage
from llamakeep.storage.database.clock import LONGEST_GAP
from llamakeep.storage.history.filters import EVERYTHING

PAUSE = 3600
"""Seconds between two sweeps."""

LONGEST_IDLE_GAP = timedelta(days=30)
"""How far the clock may be ahead of the last sweep if no retention is set."""

LARGEST_SHARE = 0.5
"""Which share of all runs one sweep may delete without confirmation."""

MANY = 100
"""Fewer runs than this need no confirmation."""

HOW_TO_CONFIRM = (
    "If that is right, run `llamakeep apply-retention` once, with the same settings"
)

log = logging.getLogger(__name__)


class Retention:
    """
    Deletes runs that are too old, at the start and every hour.

    Every process of a shared database does so, and skips what another one is deleting.
    Without `days`, the default retention, runs are kept for ever.
    """

    def __init__(self, storage: Storage, days: int | None) -> None:
        self._storage = storage
        self._days = days
        self._task = Repeated("deleting old runs", self._sweep, every=PAUSE)

    def open(self) -> None:
        """Start the task."""
        self._task.open(at_once=True)

    async def close(self) -> None:
        """Stop the task; the next process deletes the rest."""
        await self._task.close()

    async def _sweep(self) -> None:
        await sweep(self._storage, self._days)


async def sweep(
    storage: Storage,
    days: int | None,
    *,
    now: datetime | None = None,
    is_confirmed: bool = False,
) -> int:
    """
    Delete finished runs that are too old; return their number.

    Nothing is deleted if the clock is implausible or most runs are too old, unless that
    is confirmed. Without `days`, the default retention, runs are kept for ever.
    """
    now = now or utc_now()
    await storage.erase_words()  # of a deletion that was interrupted
    await storage.erase_copies()
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
            # Runs that another process is deleting are skipped.
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
    """The runs that are too old."""

    whose: Sequence[tuple[User, str]]
    """Users, each with the id below which their runs are too old."""
    count: int
    not_chosen: int
    """How many of them are too old by the settings rather than the user's choice."""


async def old_runs(storage: Storage, days: int | None, *, now: datetime) -> OldRuns:
    """Return the runs that are too old at `now` with a default retention of `days`."""
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
    """Return when the clock was last plausible; `None` if it is now."""
    shortest = await storage.shortest_retention(days)
    longest_gap = LONGEST_IDLE_GAP
    if shortest is not None:
        longest_gap = min(LONGEST_GAP, timedelta(days=shortest))
    return await storage.check_clock(now, longest_gap=longest_gap)


async def _are_too_many(storage: Storage, old: OldRuns) -> bool:
    if old.not_chosen < MANY:
        return False
    return old.not_chosen > LARGEST_SHARE * await storage.count_all_runs()
