"""Backups of SQLite files: what is in them, what is not, and what they become."""

import asyncio
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from llamakeep.deletion.users import purge_one
from llamakeep.domain import Actor, RunStatus, User
from llamakeep.errors import DatabaseInUse, DatabaseMissing, StorageUnavailable
from llamakeep.storage import Storage, migrate_database, open_storage
from llamakeep.storage.backup import back_up, restore, verify, verify_database
from llamakeep.storage.backup.files import new_backup
from llamakeep.storage.database import schema
from llamakeep.storage.database.sqlite_engine import create_sqlite_engine
from llamakeep.storage.storage import open_database
from tests.images import image, png
from tests.storage.running import ended, start

DAMAGED = r"is damaged|was cut off"
CAT = image(png(of=1))


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup"


async def restored(file: Path, tmp_path: Path) -> str:
    """Make a database of a backup, and return its URL."""
    url = f"sqlite:///{tmp_path / 'restored.db'}"
    assert await restore(file, url, is_replaced=False) is None
    return url


async def damaged(storage: Storage, *statements: str) -> None:
    def operation(connection: Connection) -> None:
        for each in ("DROP TRIGGER images_unshown", *statements):
            connection.exec_driver_sql(each)

    await storage._database.write(operation)


def without_foreign_keys(path: Path) -> None:
    engine = create_sqlite_engine(path, "rw", NullPool, begin=None)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM users")


async def test_a_backup_beside_a_server_becomes_the_same_database(
    storage: Storage, alice: User, database_url: str, file: Path, tmp_path: Path
) -> None:
    kept = await storage.add(alice, "What is kept?", "This.")
    await start(storage, alice, "And this?", images=(CAT,))

    found = await back_up(database_url, file)
    await storage.add(alice, "And what came later?", "Not.")

    assert found.counts == {
        "users": 1,
        "runs": 2,
        "of them under way": 1,
        "images": 1,
    }
    assert found == await verify(file)
    assert stat.S_IMODE((await asyncio.to_thread(file.stat)).st_mode) == 0o600
    async with open_storage(await restored(file, tmp_path)) as copy:
        assert await copy.get_run(alice, kept.id) == await storage.get_run(
            alice, kept.id
        )
        assert len(await copy.history(alice)) == 2
    assert not await asyncio.to_thread(lambda: [*tmp_path.glob("*.part")])


async def test_a_backup_has_no_texts_that_are_not_kept(
    storage: Storage, alice: User, database_url: str, file: Path, tmp_path: Path
) -> None:
    run = await start(
        storage, alice, "zyzzyva", store=False, system_prompt="xylem", images=(CAT,)
    )
    await storage.flush([replace(run, response="quokka " * 3_000)])

    await back_up(database_url, file)

    written = await asyncio.to_thread(file.read_bytes)
    assert not [word for word in (b"zyzzyva", b"xylem", b"quokka") if word in written]
    async with open_storage(await restored(file, tmp_path)) as copy:
        there = await copy.get_run(alice, run.id)
        assert (there.status, there.error_code) == ("interrupted", "run-interrupted")
    still = await storage.get_run(alice, run.id)
    assert (still.status, still.prompt) == ("processing", "zyzzyva")
    assert (await verify(file)).counts["images"] == 0


async def test_a_backup_has_no_words_of_deleted_runs(
    storage: Storage, alice: User, bob: User, database_url: str, file: Path
) -> None:
    for number in range(30):
        await storage.add(alice, f"prompt {number}", f"zyzzyva{number}")
        await storage.add(bob, f"prompt {number}", f"xylem{number}")
    while await storage.index_finished():
        pass
    await storage.delete_user(alice.id, actor=Actor(address="here"))
    await purge_one(storage, alice, patience=5)

    await back_up(database_url, file)

    written = await asyncio.to_thread(file.read_bytes)
    assert (b"xylem7" in written, b"zyzzyva" in written) == (True, False)


async def test_what_waited_for_its_turn_may_have_been_asked_after_the_backup(
    storage: Storage, alice: User, database_url: str, file: Path, tmp_path: Path
) -> None:
    run = await start(
        storage, alice, status=RunStatus.QUEUED, attempt=0, started_at=None
    )

    await back_up(database_url, file)

    async with open_storage(await restored(file, tmp_path)) as copy:
        [taken] = await copy.take_over("node_2")
    assert (taken.id, taken.status, taken.attempt) == (run.id, "starting", 2)
    assert taken.started_at == run.created_at


@pytest.mark.parametrize("place", [0, 18, 5000, -20_000, -60, -1])
async def test_one_flipped_bit_is_found_wherever_it_is(
    database_url: str, file: Path, tmp_path: Path, place: int
) -> None:
    await back_up(database_url, file)
    written = bytearray(await asyncio.to_thread(file.read_bytes))
    written[place] ^= 4
    await asyncio.to_thread(file.write_bytes, written)

    with pytest.raises(StorageUnavailable, match=DAMAGED):
        await verify(file)
    with pytest.raises(StorageUnavailable, match=DAMAGED):
        await restored(file, tmp_path)
    assert not await asyncio.to_thread((tmp_path / "restored.db").exists)


async def test_a_backup_without_its_end_is_found(database_url: str, file: Path) -> None:
    await back_up(database_url, file)
    written = await asyncio.to_thread(file.read_bytes)
    await asyncio.to_thread(file.write_bytes, written[:-4096])

    with pytest.raises(StorageUnavailable, match="was cut off"):
        await verify(file)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE images SET data = x'00'", "has other bytes than it had"),
        ("UPDATE runs SET parameters = '[1'", "run_.* cannot be read"),
        ("UPDATE runs SET response = CAST(x'ff' AS TEXT)", "run_.* cannot be read"),
        ("DELETE FROM run_images", "No run shows the image"),
    ],
)
async def test_a_database_is_read_to_the_last_text_and_image(
    storage: Storage, alice: User, database_url: str, damage: str, fault: str
) -> None:
    run = await start(storage, alice, images=(CAT,))
    await storage.finish(ended(run, response="Because."))
    assert not (await verify_database(database_url)).faults

    await damaged(storage, damage)

    [found] = (await verify_database(database_url)).faults
    assert re.search(fault, found)


async def test_a_row_without_the_one_that_it_names_is_found(
    database_url: str, file: Path
) -> None:
    async with open_storage(database_url) as storage:
        await start(storage, await storage.add_user("alice", None))
    await asyncio.to_thread(without_foreign_keys, file.with_name("llamakeep.db"))

    [found] = (await verify_database(database_url)).faults

    assert found == "A row of runs names one of users that is not there."


async def test_nothing_is_restored_beside_a_server(
    storage: Storage, alice: User, database_url: str, file: Path
) -> None:
    await back_up(database_url, file)
    await storage.add(alice, "Why?", "Because.")

    with pytest.raises(DatabaseInUse, match="Stop that one first"):
        await restore(file, database_url, is_replaced=True)

    assert len(await storage.history(alice)) == 1


async def test_a_database_is_replaced_only_when_that_is_wanted_and_kept(
    database_url: str, file: Path
) -> None:
    await back_up(database_url, file)
    async with open_storage(database_url) as storage:
        alice = await storage.add_user("alice", None)

    with pytest.raises(StorageUnavailable, match="Nothing was changed"):
        await restore(file, database_url, is_replaced=False)
    old = await restore(file, database_url, is_replaced=True)

    async with open_storage(database_url) as storage:
        assert await storage.find_credentials("alice") is None
    async with open_storage(f"sqlite:///{old}") as storage:
        known = await storage.find_credentials("alice")
        assert known is not None
        assert known.user == alice


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_log_that_is_left_does_not_get_into_the_restored_database(
    database_url: str, file: Path, tmp_path: Path, is_there: bool
) -> None:
    await back_up(database_url, file)
    path, wal = tmp_path / "llamakeep.db", tmp_path / "llamakeep.db-wal"
    async with open_storage(database_url) as storage:
        await storage.add_user("alice", None)
        log = await asyncio.to_thread(wal.read_bytes)

    def crash() -> None:
        wal.write_bytes(log)
        path.write_bytes(b"no database" * 1000)
        if not is_there:
            path.unlink()

    await asyncio.to_thread(crash)
    old = await restore(file, database_url, is_replaced=is_there)

    assert old is not None
    assert (await verify_database(database_url)).counts["users"] == 0
    beside = await asyncio.to_thread(lambda: Path(f"{old}-wal").read_bytes())
    assert beside == log


async def test_no_other_file_is_overwritten_by_a_backup(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "llamakeep.db"
    before = await asyncio.to_thread(path.read_bytes)

    with pytest.raises(StorageUnavailable, match="is no backup"):
        await back_up(database_url, path)
    with pytest.raises(StorageUnavailable, match="no folder"):
        await back_up(database_url, tmp_path / "nowhere" / "backup")

    assert await asyncio.to_thread(path.read_bytes) == before


async def test_there_has_to_be_a_database(tmp_path: Path, file: Path) -> None:
    with pytest.raises(DatabaseMissing):
        await back_up(f"sqlite:///{tmp_path / 'none.db'}", file)

    assert not await asyncio.to_thread(file.exists)


async def test_what_a_killed_backup_left_is_not_in_the_way_of_the_next(
    database_url: str, file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backup.part"
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread((folder / "copy.db").write_bytes, b"half")

    await back_up(database_url, file)

    assert not (await verify(file)).faults
    assert not await asyncio.to_thread(folder.exists)


async def test_two_backups_are_not_written_to_the_same_file(
    database_url: str, file: Path
) -> None:
    def twice() -> None:
        with new_backup(file) as part:
            part.write_bytes(b"the first")
            with pytest.raises(DatabaseInUse, match="Another backup"):
                asyncio.run(back_up(database_url, file))

    await asyncio.to_thread(twice)


async def test_tables_of_an_earlier_version_are_backed_up_as_they_are(
    tmp_path: Path, file: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    database = await asyncio.to_thread(open_database, url, is_owner=True)
    await database.write(lambda connection: schema.migrate(connection, "0020"))
    await database.close()

    await back_up(url, file)

    found = await verify(file)
    assert (found.revision, found.counts, found.faults) == ("0020", {}, ())
    async with open_storage(await restored(file, tmp_path)):
        pass  # it is migrated


async def test_tables_of_a_later_version_are_said_to_be_so(
    storage: Storage, database_url: str
) -> None:
    await damaged(storage, "UPDATE alembic_version SET version_num = '9999'")

    [found] = (await verify_database(database_url)).faults

    assert "Install the version that wrote it" in found


async def test_a_file_is_backed_up_before_it_is_migrated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    url, copy = f"sqlite:///{tmp_path / 'old.db'}", tmp_path / "old.db.revision-0019"
    database = await asyncio.to_thread(open_database, url, is_owner=True)
    await database.write(lambda connection: schema.migrate(connection, "0019"))
    await database.close()

    async with open_storage(url) as storage:
        await storage.add_user("alice", None)

    assert (await verify(copy)).revision == "0019"
    said = [line for line in caplog.messages if line.startswith("migration ")]
    assert said[0].startswith("migration 0020: ")
    assert str(copy) in caplog.text
    await restore(copy, url, is_replaced=True)
    async with open_storage(url) as storage:
        assert await storage.find_credentials("alice") is None


async def test_nothing_is_migrated_where_there_is_no_room_for_the_backup(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    database = await asyncio.to_thread(open_database, url, is_owner=True)
    await database.write(lambda connection: schema.migrate(connection, "0019"))
    await database.close()
    await asyncio.to_thread((tmp_path / "old.db.revision-0019").mkdir)

    refusal = "Nothing was changed.* or run `llamakeep migrate --no-copy`"
    with pytest.raises(StorageUnavailable, match=refusal):
        async with open_storage(url):
            pass

    database = await asyncio.to_thread(open_database, url, is_owner=True)
    assert await database.read(schema.revision) == "0019"
    await database.close()
    assert await migrate_database(url, is_copied=False) == ("0019", schema.HEAD)
