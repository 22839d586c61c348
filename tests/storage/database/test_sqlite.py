import asyncio
import sqlite3
import stat
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from llamakeep.domain import User
from llamakeep.errors import (
    DatabaseInUse,
    InvalidRequest,
    RunNotFound,
    StorageUnavailable,
)
from llamakeep.storage import Storage, location, open_storage
from llamakeep.storage.database.sqlite import SqliteDatabase
from llamakeep.storage.database.sqlite_engine import sqlite_is_current
from tests.storage.running import start

A_LOT = "All work and no play makes Jack a dull boy. " * 20_000


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = await asyncio.to_thread(SqliteDatabase, tmp_path / "bare.db")
    await database.write(lambda c: c.execute(text("CREATE TABLE t (n INT UNIQUE)")))
    yield database
    await database.close()


def inserting(number: int) -> Any:
    def operation(connection: Connection) -> int:
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
        return number

    return operation


async def numbers(database: SqliteDatabase) -> list[int]:
    return await database.read(
        lambda c: list(c.scalars(text("SELECT n FROM t ORDER BY n")))
    )


async def test_nobody_else_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.add_user("alice", None)
        modes = await asyncio.to_thread(_modes, tmp_path)

    assert modes == dict.fromkeys(
        ("new.db", "new.db-wal", "new.db-shm", "new.db.lock"), 0o600
    )


async def test_every_commit_is_on_the_disk(database: SqliteDatabase) -> None:
    pragmas = await database.write(
        lambda c: {
            name: c.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    )

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "secure_delete": 1,
    }


def test_the_sqlite_in_use_has_the_fixes_that_durability_needs() -> None:
    assert sqlite_is_current()


async def test_readers_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(StorageUnavailable, match="readonly"):
        await database.read(inserting(1))

    assert await numbers(database) == []


@pytest.mark.parametrize("name", ["50% #1.db", "space .db"])
async def test_the_file_has_the_name_it_was_given(tmp_path: Path, name: str) -> None:
    async with open_storage(f"sqlite:///{tmp_path / name}"):
        pass

    assert set(await asyncio.to_thread(_modes, tmp_path)) == {name, f"{name}.lock"}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://localhost/x",
        "nonsense",
        "",
        "sqlite:///a%00b",
    ],
)
async def test_what_does_not_keep_is_not_a_database(url: str) -> None:
    with pytest.raises(StorageUnavailable, match="LLAMAKEEP_DATABASE_URL"):
        async with open_storage(url):
            pass


async def test_a_file_in_a_folder_that_is_not_there_cannot_be_opened(
    tmp_path: Path,
) -> None:
    with pytest.raises(StorageUnavailable, match=r"no folder .*nowhere"):
        async with open_storage(f"sqlite:///{tmp_path / 'nowhere' / 'a.db'}"):
            pass


async def test_a_file_that_is_not_a_database_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    await asyncio.to_thread(path.write_text, "Dear Jack, " * 1000)

    with pytest.raises(StorageUnavailable, match="not a database"):
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert await asyncio.to_thread(path.read_text) == "Dear Jack, " * 1000


@pytest.mark.parametrize("revision", [None, "ae1027a6acf"])
@pytest.mark.parametrize("is_owner", [True, False])
async def test_a_database_of_another_application_stays_as_it_is(
    tmp_path: Path, revision: str | None, *, is_owner: bool
) -> None:
    path = tmp_path / "theirs.db"
    before = await asyncio.to_thread(_made_by_another_application, path, revision)

    with pytest.raises(StorageUnavailable, match="has the tables 'orders'"):
        async with open_storage(f"sqlite:///{path}", is_owner=is_owner):
            pass

    assert await asyncio.to_thread(path.read_bytes) == before
    assert (await asyncio.to_thread(_modes, tmp_path))["theirs.db"] == 0o640


def _made_by_another_application(path: Path, revision: str | None) -> bytes:
    with closing(sqlite3.connect(path)) as theirs, theirs:
        theirs.execute("CREATE TABLE orders (id)")
        if revision is not None:
            theirs.execute("CREATE TABLE alembic_version (version_num)")
            theirs.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    path.chmod(0o640)
    return path.read_bytes()


@pytest.mark.slow
async def test_a_second_process_cannot_own_the_file(
    storage: Storage, database_url: str
) -> None:
    script = f"""
        import asyncio
        from llamakeep.errors import DatabaseInUse
        from llamakeep.storage import open_storage

        async def main():
            try:
                async with open_storage({database_url!r}):
                    print("owned")
            except DatabaseInUse as error:
                print(error.detail)

        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", textwrap.dedent(script)),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )

    said, _ = await process.communicate()

    assert b"belongs to another llamakeep process (pid " in said
    await storage.ping()


async def test_a_second_owner_in_the_same_process_is_refused(
    storage: Storage, database_url: str
) -> None:
    with pytest.raises(DatabaseInUse):
        async with open_storage(database_url):
            pass

    await storage.ping()


@pytest.mark.usefixtures("storage")
async def test_a_second_owner_is_refused_by_another_path_of_the_file(
    database_url: str, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    await asyncio.to_thread(link.symlink_to, database_url.removeprefix("sqlite:///"))

    with pytest.raises(DatabaseInUse):
        async with open_storage(f"sqlite:///{link}"):
            pass


async def test_the_next_process_owns_the_file_after_the_first(
    database_url: str,
) -> None:
    async with open_storage(database_url) as storage:
        alice = await storage.add_user("alice", None)

    async with open_storage(database_url) as storage:
        assert await storage.list_users() == [alice]


async def test_a_guest_may_add_a_user_beside_the_owner(
    storage: Storage, database_url: str
) -> None:
    async with open_storage(database_url, is_owner=False) as guest:
        carol = await guest.add_user("carol", None)
        assert not guest.is_sole_owner

    assert await storage.list_users() == [carol]


async def test_operations_that_meet_share_a_commit(
    storage: Storage, alice: User
) -> None:
    before = storage.commits
    assert before is not None

    runs = await asyncio.gather(*(start(storage, alice) for _ in range(200)))

    assert len(await storage.history(alice, limit=1000)) == len(runs)
    assert storage.commits is not None
    assert storage.commits - before < 20


@pytest.mark.parametrize("position", [0, 99, 199])
async def test_an_operation_that_fails_does_not_touch_its_neighbours(
    database: SqliteDatabase, position: int
) -> None:
    operations = [inserting(number) for number in range(200)]

    def failing(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1000)"))
        raise RunNotFound

    operations.insert(position, failing)
    before = database.commits.number

    results = await asyncio.gather(
        *map(database.write, operations), return_exceptions=True
    )

    assert isinstance(results.pop(position), RunNotFound)
    assert results == list(range(200))
    assert await numbers(database) == list(range(200))
    assert database.commits.number - before < 30


async def test_simultaneous_users_of_one_name_are_one_user(storage: Storage) -> None:
    results = await asyncio.gather(
        *(storage.add_user("alice", None) for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, InvalidRequest) for result in results) == 19


async def test_a_caller_who_leaves_does_not_undo_the_write(
    database: SqliteDatabase,
) -> None:
    leaving = asyncio.ensure_future(database.write(inserting(1)))
    await asyncio.sleep(0)

    leaving.cancel()

    await database.write(inserting(2))
    assert await numbers(database) == [1, 2]


async def test_a_full_disk_refuses_writes_and_nothing_else(
    storage: Storage, alice: User
) -> None:
    kept = await storage.add(alice, "Why?", "Because.")
    await _limit_pages(storage, by=8)

    with pytest.raises(StorageUnavailable, match="full") as refusal:
        await storage.add(alice, "Tell me a story.", A_LOT)

    assert refusal.value.retry_after == 5
    assert await storage.history(alice) == [kept]


async def test_writes_go_on_by_themselves_when_the_disk_has_room_again(
    storage: Storage, alice: User
) -> None:
    await _limit_pages(storage, by=8)
    with pytest.raises(StorageUnavailable, match="full"):
        await storage.add(alice, "Tell me a story.", A_LOT)

    await _limit_pages(storage, by=10_000)

    run = await storage.add(alice, "Tell me a story.", A_LOT)
    assert await storage.history(alice) == [run]


async def test_on_a_full_disk_what_fits_is_still_kept(
    storage: Storage, alice: User
) -> None:
    await _limit_pages(storage, by=8)

    large, small = await asyncio.gather(
        storage.add(alice, "Tell me a story.", A_LOT),
        storage.add(alice, "Why?", "Because."),
        return_exceptions=True,
    )

    assert isinstance(large, StorageUnavailable)
    assert await storage.history(alice) == [small]


async def test_writes_go_on_when_a_guest_lets_go_of_the_file(
    storage: Storage, database_url: str
) -> None:
    await _execute(storage, "PRAGMA busy_timeout = 1")
    has_begun, may_end = threading.Event(), threading.Event()

    def taking_long(_: Connection) -> None:
        has_begun.set()
        may_end.wait()

    async with open_storage(database_url, is_owner=False) as guest:
        writing = asyncio.ensure_future(guest._database.write(taking_long))
        await asyncio.to_thread(has_begun.wait)
        with pytest.raises(StorageUnavailable, match="locked"):
            await storage.add_user("alice", None)
        may_end.set()
        await writing

        alice = await storage.add_user("alice", None)

    assert await storage.list_users() == [alice]


async def test_a_closed_database_refuses_everything(database_url: str) -> None:
    async with open_storage(database_url) as storage:
        pass

    with pytest.raises(StorageUnavailable, match="closed"):
        await storage.add_user("alice", None)
    with pytest.raises(StorageUnavailable, match="closed"):
        await storage.list_users()


async def test_closing_finishes_what_was_begun(tmp_path: Path) -> None:
    database = await asyncio.to_thread(SqliteDatabase, tmp_path / "bare.db")
    await database.write(lambda c: c.execute(text("CREATE TABLE t (n INT UNIQUE)")))
    writes = [asyncio.ensure_future(database.write(inserting(n))) for n in range(100)]
    await asyncio.sleep(0)

    await database.close()

    assert await asyncio.gather(*writes) == list(range(100))


async def test_a_database_that_went_away_cannot_be_read(tmp_path: Path) -> None:
    database = await asyncio.to_thread(SqliteDatabase, tmp_path / "bare.db")
    await asyncio.to_thread((tmp_path / "bare.db").unlink)

    with pytest.raises(StorageUnavailable, match="cannot be read"):
        await database.read(lambda c: c.scalar(text("SELECT 1 FROM sqlite_master")))

    await database.close()


async def _execute(storage: Storage, statement: str) -> Any:
    return await storage._database.write(lambda c: c.scalar(text(statement)))


async def _limit_pages(storage: Storage, *, by: int) -> None:
    """Let the file grow by so many pages, as if the disk were full after that."""
    pages = await _execute(storage, "PRAGMA page_count")
    await _execute(storage, f"PRAGMA max_page_count = {pages + by}")


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.parametrize("said", ["nonsense=1", "mode=ro", "mode", "", "a?b=c"])
async def test_a_url_with_parameters_is_refused(tmp_path: Path, said: str) -> None:
    url = f"sqlite:///{tmp_path / 'd.db'}?{said}"

    with pytest.raises(StorageUnavailable, match=r"no parameters.*sqlite:///FILE"):
        location(url)
    with pytest.raises(StorageUnavailable, match="no parameters"):
        async with open_storage(url):
            pass


def test_a_url_with_a_host_names_no_file() -> None:
    with pytest.raises(StorageUnavailable, match="must be sqlite:///FILE"):
        location("sqlite://host/d.db")
