"""
Plausibility of this machine's clock, which deletions depend on.

Deletions are final, and a clock can be wrong: a resumed virtual machine, a mistyped
date. So the database stores when the clock was last plausible.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, select

from llamakeep.domain import utc_now
from llamakeep.storage.accounts.tables import audit_events, users
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import clock, runs
from llamakeep.storage.database.trouble import Trouble

LONGEST_GAP = timedelta(days=3)
"""A clock that is further ahead of its last plausible time deletes nothing."""

FRESH = 1.0
"""Seconds after a write during which `check_writable` writes nothing."""

_ONLY = 1
"""The id of the row with the last plausible time."""
_PROBED = 2
"""The id of the row that `check_writable` writes."""
_SEEN_AT = select(clock.c.seen_at).where(clock.c.id == _ONLY)


def is_plausible(now: datetime) -> ColumnElement[bool]:
    """Return the condition for deletions that depend on `now` alone."""
    return ~exists().where(clock.c.id == _ONLY, clock.c.seen_at < now - LONGEST_GAP)


class ClockStorage:
    """Stores when the clock was last plausible."""

    _database: Database

    async def check_clock(
        self, now: datetime, *, longest_gap: timedelta
    ) -> datetime | None:
        """Store the clock's time if it is plausible; else return the last that was."""

        def operation(connection: Connection) -> datetime | None:
            seen_at: datetime | None = connection.scalar(_SEEN_AT)
            if seen_at is None:
                # The newest row was written before any write under this clock.
                seen_at = _newest(connection) or now
                _remember(connection, seen_at)
            if now - seen_at > longest_gap:
                return seen_at
            if now < seen_at:
                # A clock that starts at 1970 with each boot is not ahead. The stored
                # time goes back with a clock that was ahead, so that the next jump is
                # noticed.
                now_or_newest = max(now, _newest(connection) or now)
                _remember(connection, min(seen_at, now_or_newest))
            else:
                _remember(connection, now)
            return None

        return await self._database.write(operation)

    async def believe_clock(self, now: datetime) -> None:
        """Store that the clock is right, as the administrator says."""
        await self._database.write(lambda connection: _remember(connection, now))

    async def check_writable(self) -> None:
        """
        Write a row, unless something was written in the last second.

        Raises:
            StorageUnavailable: The database cannot be written.
        """
        trouble, now = self._database.trouble, utc_now()
        if trouble.error is None and trouble.now() - trouble.wrote_at < FRESH:
            return
        await self._database.write(
            lambda connection: _remember(connection, now, row=_PROBED)
        )

    @property
    def trouble(self) -> Trouble:
        """The state of the database's failures."""
        return self._database.trouble


def _remember(connection: Connection, seen_at: datetime, *, row: int = _ONLY) -> None:
    add = colliding_insert(connection, clock).values(id=row, seen_at=seen_at)
    connection.execute(
        add.on_conflict_do_update(index_elements=["id"], set_={"seen_at": seen_at})
    )


def _newest(connection: Connection) -> datetime | None:
    found = [
        connection.scalar(query)
        for query in (
            select(runs.c.created_at).order_by(runs.c.id.desc()).limit(1),
            select(func.max(users.c.created_at)),
            select(audit_events.c.at).order_by(audit_events.c.id.desc()).limit(1),
        )
    ]
    return max((at for at in found if at is not None), default=None)
