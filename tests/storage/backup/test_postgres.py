"""Backups of PostgreSQL databases, by the programs of its own version."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.errors import DatabaseInUse, StorageUnavailable
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.backup import back_up, restore, verify, verify_database
from llamakeep.storage.backup.seals import seal
from tests.images import image, png
from tests.postgres import find_binaries
from tests.storage.running import start
from tests.waiting import until

Urls = tuple[str, str]


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


@pytest.fixture
def pg_dump() -> Path:
    return find_binaries() / "pg_dump"


@pytest.fixture
def urls(database_url: str, postgres_url: str) -> Urls:
    """A database with tables, and an empty one."""
    return database_url, postgres_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup"


async def test_a_backup_beside_a_server_becomes_the_same_database(
    storage: Storage, alice: User, urls: Urls, file: Path, pg_dump: Path
) -> None:
    source, postgres_url = urls
    kept = await storage.add(alice, "What is kept?", "This.")
    waiting = await start(
        storage,
        alice,
        status=RunStatus.QUEUED,
        attempt=0,
        images=(image(png(of=1)),),
    )

    found = await back_up(source, file, pg_dump=pg_dump)
    await storage.add(alice, "And what came later?", "Not.")
    old = await restore(file, postgres_url, is_replaced=False, pg_dump=pg_dump)

    assert (old, found.faults) == (None, [])
    assert found == await verify(file, pg_dump=pg_dump)
    assert (await asyncio.to_thread(file.stat)).st_mode & 0o777 == 0o600
    assert (await verify_database(postgres_url)).counts == {
        "users": 1,
        "runs": 2,
        "of them under way": 1,
        "images": 1,
    }
    async with open_storage(postgres_url) as copy:
        assert await copy.get_run(alice, kept.id) == await storage.get_run(
            alice, kept.id
        )
        there = await copy.get_run(alice, waiting.id)
        assert (there.status, there.attempt) == ("starting", 1)
        assert [run.id for run in await copy.history(alice)] == [waiting.id, kept.id]


async def test_a_replaced_database_is_kept_in_another_schema(
    database_url: str, postgres_url: str, file: Path, pg_dump: Path
) -> None:
    await back_up(database_url, file, pg_dump=pg_dump)
    async with open_storage(postgres_url, migrate=True) as storage:
        await storage.add_user("alice", None)
        with pytest.raises(DatabaseInUse, match="Stop the servers"):
            await restore(file, postgres_url, is_replaced=True, pg_dump=pg_dump)

    with pytest.raises(StorageUnavailable, match="Nothing was changed"):
        await restore(file, postgres_url, is_replaced=False, pg_dump=pg_dump)
    old = await restore(file, postgres_url, is_replaced=True, pg_dump=pg_dump)

    assert (await verify_database(postgres_url)).counts["users"] == 0
    connection = await asyncpg.connect(postgres_url)
    try:
        schema = str(old).removeprefix("the schema ")
        assert await connection.fetchval(f"SELECT count(*) FROM {schema}.users") == 1
    finally:
        await connection.close()


async def test_what_is_there_stays_when_a_backup_cannot_be_restored(
    postgres_url: str, file: Path, pg_dump: Path
) -> None:
    async with open_storage(postgres_url, migrate=True) as storage:
        await storage.add_user("alice", None)

    def write() -> None:
        file.write_bytes(b"PGDMP and nothing more")
        seal(file)

    await asyncio.to_thread(write)
    with pytest.raises(StorageUnavailable, match="pg_restore: error"):
        await restore(file, postgres_url, is_replaced=True, pg_dump=pg_dump)

    assert (await verify_database(postgres_url)).counts["users"] == 1


async def test_what_is_there_stays_when_a_restoration_is_interrupted(
    postgres_url: str, file: Path, pg_dump: Path, tmp_path: Path
) -> None:
    async with open_storage(postgres_url, migrate=True) as storage:
        await storage.add_user("alice", None)
    await back_up(postgres_url, file, pg_dump=pg_dump)
    programs, begun = tmp_path / "programs", tmp_path / "begun"

    def write_slow() -> None:
        programs.mkdir()
        (programs / "pg_dump").symlink_to(pg_dump)
        slow = programs / "pg_restore"
        slow.write_text(f"#!/bin/sh\ntouch '{begun}'; sleep 1; exit 1\n")
        slow.chmod(0o700)

    await asyncio.to_thread(write_slow)
    slow = restore(file, postgres_url, is_replaced=True, pg_dump=programs / "pg_dump")
    restoring = asyncio.create_task(slow)
    await until(lambda: asyncio.to_thread(begun.exists))
    restoring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restoring

    assert (await verify_database(postgres_url)).counts["users"] == 1


async def test_one_flipped_bit_is_found(
    database_url: str, file: Path, pg_dump: Path
) -> None:
    await back_up(database_url, file, pg_dump=pg_dump)
    written = bytearray(await asyncio.to_thread(file.read_bytes))
    written[2000] ^= 1
    await asyncio.to_thread(file.write_bytes, written)

    with pytest.raises(StorageUnavailable, match="is damaged"):
        await verify(file, pg_dump=pg_dump)


async def test_programs_that_are_missing_or_too_old_are_named(
    database_url: str, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(StorageUnavailable, match=r"LLAMAKEEP_PG_DUMP"):
        await back_up(database_url, file, pg_dump=tmp_path / "pg_dump")

    def write_old() -> None:
        old = tmp_path / "pg_dump"
        old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
        old.chmod(0o700)

    await asyncio.to_thread(write_old)
    with pytest.raises(StorageUnavailable, match=r"pg_dump is of PostgreSQL 9"):
        await back_up(database_url, file, pg_dump=tmp_path / "pg_dump")
    assert not await asyncio.to_thread(file.exists)


async def test_a_backup_goes_to_a_database_of_its_kind(
    sqlite_url: str, postgres_url: str, file: Path, pg_dump: Path
) -> None:
    await back_up(sqlite_url, file)

    with pytest.raises(StorageUnavailable, match="is a backup of SQLite"):
        await restore(file, postgres_url, is_replaced=False, pg_dump=pg_dump)
