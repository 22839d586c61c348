"""Figures of the whole database for metrics; each is cheap, whatever is stored."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, exists, func, select, text

from llamakeep.domain import RunStatus
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import nodes, notifications, runs

_UNFINISHED = (
    select(runs.c.status, func.count(), func.min(runs.c.created_at))
    .where(IS_UNFINISHED)
    .group_by(runs.c.status)
)
_OLDEST_LEASE = select(func.min(nodes.c.lease_until)).where(
    exists().where(runs.c.owner == nodes.c.id, IS_UNFINISHED)
)
_WEBHOOKS = select(func.count()).where(notifications.c.next_try_at.is_not(None))
# The rows of deleted runs in between are counted: counting all others takes long.
_SQLITE_ROWS = text(
    "SELECT coalesce((SELECT max(rowid) FROM runs)"
    " - (SELECT min(rowid) FROM runs) + 1, 0)"
)
_POSTGRES_SIZE = text(
    "SELECT greatest(reltuples, 0), pg_database_size(current_database())"
    " FROM pg_class WHERE oid = 'runs'::regclass"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is in the database, of all servers that share it."""

    unfinished: Mapping[RunStatus, int]
    oldest_unfinished: datetime | None
    """When the oldest unfinished run was created."""
    oldest_lease: datetime | None
    """When the lease of a node with runs ends; one in the past is of a dead node."""
    pending_webhooks: int
    rows: int
    """About how many runs are kept."""
    size: int
    """In bytes, with the write-ahead log of a SQLite file."""
    free: int | None
    """Bytes that are free on the disk of a SQLite file."""


class FigureStorage:
    """Reads figures of the whole database."""

    _database: Database

    async def figures(self) -> Figures:
        """Return the figures as of now."""

        def operation(connection: Connection) -> Figures:
            found = connection.execute(_UNFINISHED).all()
            created = [row[2] for row in found if row[2] is not None]
            rows, size, free = _sizes(connection)
            return Figures(
                unfinished={row[0]: row[1] for row in found},
                oldest_unfinished=min(created, default=None),
                oldest_lease=connection.scalar(_OLDEST_LEASE),
                pending_webhooks=connection.execute(_WEBHOOKS).scalar_one(),
                rows=rows,
                size=size,
                free=free,
            )

        return await self._database.read(operation)


def _sizes(connection: Connection) -> tuple[int, int, int | None]:
    if connection.dialect.name != "sqlite":
        rows, size = connection.execute(_POSTGRES_SIZE).one()
        return int(rows), size, None
    rows = connection.execute(_SQLITE_ROWS).scalar_one()
    path = Path(connection.exec_driver_sql("PRAGMA database_list").all()[0][2])
    log = path.with_name(f"{path.name}-wal")
    size = path.stat().st_size
    if log.exists():
        size += log.stat().st_size
    return rows, size, shutil.disk_usage(path.parent).free
