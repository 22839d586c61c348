"""
Whether this machine's clock is believed where it alone decides on a deletion.

Deletions are final, and a clock can be wrong: a virtual machine that was resumed, a
mistyped date. So the database remembers when the clock was last plausible.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, select

from llamakeep.domain import utc_now
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import audit_events, clock, runs, users
from llamakeep.storage.database.trouble import Trouble

LONGEST_GAP = timedelta(days=3)
"""A clock that is further ahead of when it was last plausible deletes nothing."""

FRESH = 1.0
"""Seconds for which what could be kept shows that more can."""

_ONLY = 1
"""The id of the row that says when the clock was last plausible."""
_PROBED = 2
"""The id of the row that is written to see whether that is possible."""
_SEEN_AT = select(clock.c.seen_at).where(clock.c.id == _ONLY)


def is_plausible(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a deletion has which nothing but `now` decides on."""
    return ~exists().where(clock.c.id == _ONLY, clock.c.seen_at < now - LONGEST_GAP)


class ClockStorage:
    """When the clock was last plausible."""

    _database: Database

    async def check_clock(
        self, now: datetime, *, longest_gap: timedelta
    ) -> datetime | None:
        """
        Look whether the clock is plausible, and remember it if it is.

        Args:
            now: What it says.
            longest_gap: How far it may be ahead of when it was last plausible.

        Returns:
            When it was last plausible, if it is not now.
        """

        def operation(connection: Connection) -> datetime | None:
            seen_at: datetime | None = connection.scalar(_SEEN_AT)
            if seen_at is None:
                # From before anything is written under this clock.
                seen_at = _newest(connection) or now
                _remember(connection, seen_at)
            if now - seen_at > longest_gap:
                return seen_at
            if now < seen_at:
                # A clock that begins at 1970 with each boot is ahead of nothing; one
                # that was ahead has to be noticed again.
                now_or_newest = max(now, _newest(connection) or now)
                _remember(connection, min(seen_at, now_or_newest))
            else:
                _remember(connection, now)
            return None

        return await self._database.write(operation)

    async def believe_clock(self, now: datetime) -> None:
        """Remember that the clock is right, since a person says so."""
        await self._database.write(lambda connection: _remember(connection, now))

    async def check_writable(self) -> None:
        """
        Keep something, unless that was done within a second.

        Raises:
            StorageUnavailable: Nothing can be kept.
        """
        trouble, now = self._database.trouble, utc_now()
        if trouble.error is None and trouble.now() - trouble.wrote_at < FRESH:
            return
        await self._database.write(
            lambda connection: _remember(connection, now, row=_PROBED)
        )

    @property
    def trouble(self) -> Trouble:
        """Since when the database cannot be used, if it cannot."""
        return self._database.trouble


def _remember(connection: Connection, seen_at: datetime, *, row: int = _ONLY) -> None:
    add = colliding_insert(connection, clock).values(id=row, seen_at=seen_at)
    connection.execute(
        add.on_conflict_do_update(index_elements=["id"], set_={"seen_at": seen_at})
    )


def _newest(connection: Connection) -> datetime | None:
    """Return when the newest thing in the database was made."""
    found = [
        connection.scalar(query)
        for query in (
            select(runs.c.created_at).order_by(runs.c.id.desc()).limit(1),
            select(func.max(users.c.created_at)),
            select(audit_events.c.at).order_by(audit_events.c.id.desc()).limit(1),
        )
    ]
    return max((at for at in found if at is not None), default=None)
