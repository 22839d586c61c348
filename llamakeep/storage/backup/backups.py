"""Back up, restore and verify the database that a URL names."""

import asyncio
from pathlib import Path

from llamakeep.errors import DatabaseMissing, StorageUnavailable
from llamakeep.storage.backup.examining import Findings, examine
from llamakeep.storage.backup.seals import check_seal
from llamakeep.storage.backup.sqlite_files import (
    back_up_file,
    examine_file,
    restore_file,
)
from llamakeep.storage.storage import POSTGRES, file_of, open_database


async def back_up(url: str, file: Path) -> Findings:
    """
    Write a database, at one moment, to a file that only this user may read.

    An earlier backup in `file` is replaced when the new one is on the disk.

    Raises:
        DatabaseMissing: There is no database.
        StorageUnavailable: It cannot be read, or the backup cannot be written; an
            earlier one was not changed.
    """
    if POSTGRES.match(url):
        raise StorageUnavailable("Backups of PostgreSQL are taken with pg_dump.")
    source = file_of(url)
    if not await asyncio.to_thread(source.is_file):
        raise DatabaseMissing(f"There is no database file {source} to back up.")
    return await asyncio.to_thread(back_up_file, source, file)


async def restore(file: Path, url: str, *, is_replaced: bool) -> Path | None:
    """
    Make the database that `url` names of a backup.

    Args:
        file: The backup.
        url: Where to.
        is_replaced: Whether a database that is there already may be replaced.

    Returns:
        Where the file of the replaced database is, if there was one.

    Raises:
        DatabaseInUse: A server has the database.
        StorageUnavailable: The backup is damaged, or there is a database already.
    """
    if POSTGRES.match(url):
        raise StorageUnavailable("Backups of PostgreSQL are restored with pg_restore.")
    return await asyncio.to_thread(
        restore_file, file, file_of(url), is_replaced=is_replaced
    )


async def verify(file: Path) -> Findings:
    """
    Read all of a backup.

    Raises:
        StorageUnavailable: It is not what was written; the detail says how.
    """
    await asyncio.to_thread(check_seal, file)
    return await asyncio.to_thread(examine_file, file)


async def verify_database(url: str) -> Findings:
    """
    Read all of a database, also while a server has it.

    Raises:
        DatabaseMissing: There is none.
        StorageUnavailable: It cannot be read.
    """
    database = await asyncio.to_thread(
        open_database, url, is_owner=False, is_hurried=False
    )
    try:
        return await database.read(examine)
    finally:
        await database.close()
