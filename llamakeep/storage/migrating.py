"""Migration of a database's tables, and what is known of it before."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.exc import DBAPIError

from llamakeep.errors import StorageUnavailable
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.database import schema
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs

TRIES, PAUSE = 30, 2.0
"""How often a migration waits for a table in use, and the seconds between."""
WORTH_SAYING = 1.0
"""Seconds for which runs are locked."""

_LOCK_NOT_AVAILABLE = "55P03"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration will do."""

    before: str | None = None
    """The revision; `None` for an empty database."""
    steps: Sequence[str] = ()
    """Each in words."""
    is_asked: bool = False
    """Whether a person has to agree: it has users, and no backup is made before."""


async def plan(database: Database) -> Plan:
    """Return what a migration of a database to this version's schema will do."""
    before = await database.read(schema.revision)
    if before is None or before >= schema.HEAD:
        return Plan(before)
    steps = await asyncio.to_thread(schema.steps_from, before)

    def operation(connection: Connection) -> Plan:
        name = connection.dialect.name
        count = connection.scalar(select(func.count()).select_from(runs)) or 0
        said = [told(step, name, count) for step in steps]
        has_users = connection.scalar(select(exists().select_from(users)))
        return Plan(before, said, is_asked=bool(has_users) and name == "postgresql")

    return await database.read(operation)


def told(step: schema.Step, database: str, count: int) -> str:
    """Return in words what a migration does, and whether it locks `count` runs long."""
    locked = step.seconds.get(database, 0) * count / 1_000_000
    said = f"{step.revision}: {step.what}."
    if locked < WORTH_SAYING:
        return said
    return (
        f"{said} There are {count:,} runs, which cannot be written for about "
        f"{locked:.0f} s."
    )


async def migrate(database: Database, *, backed_up: Path | None = None) -> str | None:
    """
    Migrate a database to this version's schema, and return its revision before.

    Args:
        database: The database; of a file, its owner's.
        backed_up: The file, if it is backed up before, beside itself.

    Raises:
        StorageUnavailable: Something uses a table all the time; nothing was changed.
    """
    planned = await plan(database)
    for step in planned.steps:
        log.info("migration %s", step)
    if planned.steps and backed_up is not None:
        # It needs `Storage`, whose module needs this one.
        from llamakeep.storage.backup.sqlite_files import back_up_file  # noqa: PLC0415

        copy = backed_up.with_name(f"{backed_up.name}.revision-{planned.before}")
        try:
            await asyncio.to_thread(back_up_file, backed_up, copy)
        except StorageUnavailable as error:
            raise StorageUnavailable(
                f"The database is backed up before its migration, and cannot be: "
                f"{error.detail} Make room, or run `llamakeep migrate --no-copy` once."
            ) from error
        log.warning(
            "the database as it is before its migration is in %s: `llamakeep restore` "
            "brings it back with the earlier version; delete it when all is well",
            copy,
        )
    for tries_left in reversed(range(TRIES)):
        try:
            await database.write(schema.migrate)
            break
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            if not tries_left:
                raise StorageUnavailable(
                    "The tables were in use all the time, such as by pg_dump or a long "
                    "query, and a migration has to lock them. Nothing was changed. Try "
                    "again later; pg_stat_activity shows what uses them."
                ) from error
        log.info("something uses the tables; the migration is tried again")
        await asyncio.sleep(PAUSE)
    return planned.before
