"""Back up, restore and verify the database that a URL names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

from llamakeep.errors import DatabaseMissing, StorageUnavailable
from llamakeep.storage.backup.copying import Copied, Progress, copy_rows
from llamakeep.storage.backup.examining import Findings, examine
from llamakeep.storage.backup.seals import check_seal
from llamakeep.storage.backup.sqlite_files import (
    back_up_file,
    examine_file,
    restore_file,
)
from llamakeep.storage.database import schema
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.postgres.url import read_postgres_url
from llamakeep.storage.storage import (
    POSTGRES,
    check_postgres_driver,
    file_of,
    location,
    open_database,
)

_OF_POSTGRES = b"PGDMP"
"""How files of pg_dump begin."""


async def back_up(url: str, file: Path, *, pg_dump: Path | None = None) -> Findings:
    """
    Write a database, at one moment, to a file that only this user may read.

    An earlier backup in `file` is replaced when the new one is on the disk.

    Raises:
        DatabaseMissing: There is no database.
        StorageUnavailable: It cannot be read, or the backup cannot be written; an
            earlier one was not changed.
    """
    if POSTGRES.match(url):
        postgres_dumps = _postgres_dumps()
        parsed = read_postgres_url(url)
        programs = postgres_dumps.PostgresPrograms(pg_dump)
        server = await postgres_dumps.find_server(parsed)
        return await asyncio.to_thread(
            postgres_dumps.dump, parsed, server, file, programs
        )
    source = file_of(url)
    if not await asyncio.to_thread(source.is_file):
        raise DatabaseMissing(f"There is no database file {source} to back up.")
    return await asyncio.to_thread(back_up_file, source, file)


async def restore(
    file: Path, url: str, *, is_replaced: bool, pg_dump: Path | None = None
) -> str | None:
    """
    Make the database that `url` names of a backup.

    Args:
        file: The backup.
        url: Where to.
        is_replaced: Whether a database that is there already may be replaced.
        pg_dump: Where PostgreSQL's programs are; by default, on the `PATH`.

    Returns:
        Where the replaced database is kept, if there was one: a file, or a schema.

    Raises:
        DatabaseInUse: A server has the database.
        StorageUnavailable: The backup is damaged, or there is a database already.
    """
    await asyncio.to_thread(check_seal, file)
    is_postgres = POSTGRES.match(url) is not None
    if await asyncio.to_thread(_is_of_postgres, file) is not is_postgres:
        other, its = ("PostgreSQL", "SQLite")[:: 1 if is_postgres else -1]
        raise StorageUnavailable(
            f"{file} is a backup of {its}, and LLAMAKEEP_DATABASE_URL names a database "
            f"of {other}. Nothing was changed. Name one of {its}."
        )
    if is_postgres:
        return await _restore_dump(file, url, is_replaced=is_replaced, pg_dump=pg_dump)
    old = await asyncio.to_thread(
        restore_file, file, file_of(url), is_replaced=is_replaced
    )
    return None if old is None else str(old.absolute())


async def verify(file: Path, *, pg_dump: Path | None = None) -> Findings:
    """
    Read all of a backup.

    Raises:
        StorageUnavailable: It is not what was written; the detail says how.
    """
    await asyncio.to_thread(check_seal, file)
    if await asyncio.to_thread(_is_of_postgres, file):
        postgres_dumps = _postgres_dumps()
        programs = postgres_dumps.PostgresPrograms(pg_dump)
        return await asyncio.to_thread(postgres_dumps.examine_dump, file, programs)
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


async def copy(
    source_url: str, target_url: str, *, progress: Progress = lambda _, __: None
) -> Copied:
    """
    Copy everything from a database to an empty one, or continue such a copy.

    Args:
        source_url: The database; no server may use it.
        target_url: Where to; tables are created if there are none.
        progress: Is called with a table's name and how many of its rows were seen.

    Raises:
        DatabaseInUse: A server has one of them.
        DatabaseMissing: There is nothing to copy.
        StorageUnavailable: The target has something else, or cannot be written.
    """
    if source_url == target_url:
        raise StorageUnavailable(
            f"FROM and TO are both {location(source_url)}. Nothing was changed. Let TO "
            "name an empty database."
        )
    is_file = not POSTGRES.match(source_url)
    if is_file and not await asyncio.to_thread(file_of(source_url).is_file):
        raise DatabaseMissing(f"There is no database at {location(source_url)}.")
    for url in (source_url, target_url):
        if POSTGRES.match(url):
            await _postgres_dumps().check_unused(read_postgres_url(url))
    async with _opened(source_url) as source, _opened(target_url) as target:
        await source.read(schema.check)
        await source.read(schema.check_whole)
        if await target.read(schema.revision) is None:
            await target.write(schema.migrate)
        where = location(source_url)
        return await copy_rows(source, target, where=where, progress=progress)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = await asyncio.to_thread(
        open_database, url, is_owner=True, is_hurried=False
    )
    try:
        yield database
    finally:
        await database.close()


async def _restore_dump(
    file: Path, url: str, *, is_replaced: bool, pg_dump: Path | None
) -> str | None:
    postgres_dumps = _postgres_dumps()
    parsed, programs = read_postgres_url(url), postgres_dumps.PostgresPrograms(pg_dump)
    server = await postgres_dumps.find_server(parsed)
    await asyncio.to_thread(programs.check_version, server.major)
    old = await postgres_dumps.check_target(parsed, server, is_replaced=is_replaced)
    try:
        await asyncio.to_thread(
            postgres_dumps.restore_dump, file, parsed, server, programs
        )
    except BaseException:  # also Ctrl-C
        await postgres_dumps.put_back(parsed, server, old)
        raise
    await postgres_dumps.finish_restoring(parsed)
    return None if old is None else f"the schema {old}"


def _postgres_dumps() -> ModuleType:
    check_postgres_driver()
    from llamakeep.storage.backup import postgres_dumps  # noqa: PLC0415 - a driver

    return postgres_dumps


def _is_of_postgres(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_OF_POSTGRES)) == _OF_POSTGRES
