"""Many operations in one commit: what fails for one of them, and what for all."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from llamakeep.errors import RunNotFound, StorageUnavailable
from llamakeep.storage.database.sqlite import SqliteDatabase
from llamakeep.storage.database.sqlite_engine import BUSY_TIMEOUT, create_sqlite_engine

MANY = 200


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = await asyncio.to_thread(SqliteDatabase, tmp_path / "bare.db")
    await database.write(lambda c: c.execute(text("CREATE TABLE t (n INT UNIQUE)")))
    yield database
    await database.close()


class Inserting:
    """Inserts a number, and counts how often it was asked to."""

    def __init__(self, number: int, *, fails: bool = False) -> None:
        self.number, self.fails, self.tries = number, fails, 0

    def __call__(self, connection: Connection) -> int:
        self.tries += 1
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": self.number})
        if self.fails:
            raise RunNotFound
        return self.number


async def _numbers(database: SqliteDatabase) -> list[int]:
    return await database.read(
        lambda c: list(c.scalars(text("SELECT n FROM t ORDER BY n")))
    )


async def _write_all(database: SqliteDatabase, operations: list[Inserting]) -> Any:
    return await asyncio.gather(
        *map(database.write, operations), return_exceptions=True
    )


@pytest.mark.parametrize("bad", [1, 5, MANY])
async def test_operations_that_fail_do_not_multiply_the_commits_of_others(
    database: SqliteDatabase, bad: int
) -> None:
    operations = [Inserting(n, fails=n < bad) for n in range(MANY)]
    before = database.commits.number

    results = await _write_all(database, operations)

    assert await _numbers(database) == list(range(bad, MANY))
    assert results[bad:] == list(range(bad, MANY))
    assert all(isinstance(each, RunNotFound) for each in results[:bad])
    assert database.commits.number - before <= 2
    assert max(each.tries for each in operations) <= 2


async def test_what_fails_again_and_again_has_others_done_once(
    database: SqliteDatabase,
) -> None:
    await _write_all(database, [Inserting(0, fails=True), Inserting(-1)])
    operations = [Inserting(n, fails=n == 7) for n in range(MANY)]

    await _write_all(database, operations)

    assert {each.tries for each in operations} == {1}


async def test_a_transaction_that_cannot_begin_fails_all_of_a_batch_at_once(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    await database.write(lambda c: c.execute(text("PRAGMA busy_timeout = 100")).close())
    await database.write(lambda c: c.execute(text("DROP TABLE t")))  # or it is not ours
    other = await asyncio.to_thread(
        SqliteDatabase, tmp_path / "bare.db", is_owner=False
    )
    await database.write(lambda c: c.execute(text("CREATE TABLE t (n INT UNIQUE)")))
    has_begun, may_end = threading.Event(), threading.Event()

    def holding(_: Connection) -> None:
        has_begun.set()
        may_end.wait()

    held = asyncio.ensure_future(other.write(holding))
    await asyncio.to_thread(has_begun.wait)
    operations = [Inserting(n) for n in range(MANY)]

    results = await _write_all(database, operations)

    may_end.set()
    await held
    await other.close()
    assert all(isinstance(each, StorageUnavailable) for each in results)
    assert {each.tries for each in operations} == {0}
    assert await _write_all(database, operations) == list(range(MANY))


async def test_a_commit_that_fails_fails_all_of_a_batch_at_once(
    database: SqliteDatabase,
) -> None:
    await database.write(
        lambda c: c.exec_driver_sql(
            "CREATE TABLE u (n INT REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)"
        ).close()
    )

    def breaking(connection: Connection) -> None:
        connection.execute(text("INSERT INTO u VALUES (-1)"))

    good = Inserting(1)

    results = await asyncio.gather(
        database.write(breaking), database.write(good), return_exceptions=True
    )

    assert all("FOREIGN KEY" in str(each) for each in results)
    assert good.tries == 1
    assert await _numbers(database) == []


async def test_what_fails_after_a_commit_undoes_and_repeats_nothing(
    database: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> None:
        raise OSError(28, "No space left on device")

    database._writer._after = failing
    operations = [Inserting(n) for n in range(3)]

    results = await _write_all(database, operations)

    assert results == [0, 1, 2]
    assert await _numbers(database) == [0, 1, 2]
    assert {each.tries for each in operations} == {1}
    assert "No space left" in caplog.text


async def test_a_checkpoint_that_fails_is_said_once_and_repeated(
    database: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("llamakeep.storage.database.sqlite.ERASED_AFTER", 0.01)
    await database.write(Inserting(1))
    tidying = database._tidying
    await asyncio.to_thread(_break, database)

    await database.erase_traces()
    await asyncio.sleep(0.1)

    said = [each.message for each in caplog.records if "write-ahead" in each.message]
    assert len(said) == 1
    assert "is tried again" in said[0]

    database._tidying = tidying
    async with asyncio.timeout(20):
        while "into the file again" not in caplog.text:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("writes", [1, 0])
async def test_a_log_that_a_reader_needs_is_emptied_later_and_holds_up_no_write(
    database: SqliteDatabase, writes: int
) -> None:
    await database.write(Inserting(1))
    engine = create_sqlite_engine(database._path, "ro", NullPool)
    reader = await asyncio.to_thread(engine.connect)
    await asyncio.to_thread(reader.exec_driver_sql, "SELECT count(*) FROM t")
    for number in range(writes):
        await database.write(Inserting(2 + number))

    emptying = asyncio.create_task(asyncio.to_thread(database._empty_wal))
    number, longest = 10, 0.0
    while not emptying.done():
        number, began = number + 1, time.monotonic()
        await database.write(Inserting(number))
        longest = max(longest, time.monotonic() - began)
    is_empty = await emptying
    await asyncio.to_thread(reader.close)

    assert not is_empty
    assert longest < BUSY_TIMEOUT / 1000 / 2
    assert await asyncio.to_thread(database._empty_wal)


def _break(database: SqliteDatabase) -> None:
    """Have checkpoints fail as on a broken disk."""
    missing = database._path.with_name("missing") / "gone.db"
    database._tidying = create_sqlite_engine(
        missing, "rw", type(database._tidying.pool), begin=None
    )
