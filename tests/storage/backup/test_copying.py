"""Copies from SQLite to PostgreSQL and back."""

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, select

from llamakeep.domain import Actor, Limits, Message, Reasoning, RunStatus, User
from llamakeep.domain.messages import message_of
from llamakeep.errors import DatabaseInUse, DatabaseMissing, StorageUnavailable
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.backup import copy, verify_database
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import read_search
from llamakeep.storage.metadata import metadata
from tests.images import image, png
from tests.storage.running import ended, start


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'target.db'}"
    return str(request.getfixturevalue("postgres_url"))


class Killed(Exception):
    """What stops a copy in its middle."""


async def fill(url: str) -> User:
    """Have a row in most tables, and more runs than are copied at once."""
    async with open_storage(url) as storage:
        alice = await storage.add_user("alice", "hash of a password")
        await storage.add_user("bob", None)
        for number in range(205):
            await storage.add(alice, f"prompt {number}", f"zyzzyva{number} \u00e9")
        shown = await start(
            storage,
            alice,
            images=(image(png(of=1)),),
            prior_messages=(Message("user", "Before"),),
            last_message=message_of("user", [Reasoning("T")]),
            metadata={"project": "x"},
        )
        await storage.finish(ended(shown, response="Because."))
        await start(storage, alice, status=RunStatus.QUEUED, attempt=0)
        return alice


async def rows(url: str) -> Sequence[Any]:
    async with open_storage(url) as storage:

        def operation(connection: Connection) -> Sequence[Any]:
            return [
                {tuple(row) for row in _hashable(connection, table)}
                for table in metadata.sorted_tables
            ]

        return await storage._database.read(operation)


def _hashable(connection: Connection, table: Any) -> Sequence[Any]:
    found = connection.execute(select(table)).all()
    return [[repr(value) for value in row] for row in found]


@pytest.mark.slow
async def test_all_rows_go_to_postgresql_and_back_though_the_copy_is_killed(
    database_url: str, postgres_url: str, tmp_path: Path
) -> None:
    alice = await fill(database_url)
    back = f"sqlite:///{tmp_path / 'back.db'}"

    def kill(table: str, seen: int) -> None:
        if (table, seen) == ("runs", 200):
            raise Killed

    for source, target in ((database_url, postgres_url), (postgres_url, back)):
        with pytest.raises(Killed):
            await copy(source, target, progress=kill)
        copied = await copy(source, target)
        assert 5 <= copied.written < copied.rows

    before = await rows(database_url)
    assert sum(map(len, before)) > 205
    assert await rows(postgres_url) == before
    assert await rows(back) == before
    found = RunFilter(search=read_search("zyzzyva204"))
    async with open_storage(postgres_url) as storage:
        assert len(await storage.history(alice, matching=found)) == 1
    async with open_storage(back) as storage:
        while await storage.index_finished():
            pass
        assert len(await storage.history(alice, matching=found)) == 1


async def test_what_changed_between_two_attempts_is_brought_along(
    database_url: str, target: str
) -> None:
    async with open_storage(database_url) as storage:
        alice = await storage.add_user("alice", None)
        run = await start(storage, alice)

    def kill(table: str, _: int) -> None:
        if table == "runs":
            raise Killed

    with pytest.raises(Killed):
        await copy(database_url, target, progress=kill)
    async with open_storage(database_url) as storage:
        await storage.finish(ended(run, response="zyzzyva"))
        limits, actor = Limits(concurrent_runs=3), Actor(address="here")
        await storage.set_limits(alice.id, limits, actor=actor)

    assert (await copy(database_url, target)).written >= 2

    assert await rows(target) == await rows(database_url)
    found = RunFilter(search=read_search("zyzzyva"))
    async with open_storage(target) as storage:
        while await storage.index_finished():
            pass
        assert len(await storage.history(alice, matching=found)) == 1


async def test_a_copy_goes_to_an_empty_database_or_continues_its_own(
    database_url: str, tmp_path: Path
) -> None:
    full, target = f"sqlite:///{tmp_path / 'full.db'}", f"sqlite:///{tmp_path / 't.db'}"
    await fill(full)
    before = await rows(full)

    with pytest.raises(StorageUnavailable, match="Nothing was changed"):
        await copy(database_url, full)
    assert await rows(full) == before

    def kill(_: str, __: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        await copy(full, target, progress=kill)
    with pytest.raises(StorageUnavailable, match=r"A copy of .*full.db was begun"):
        await copy(database_url, target)


async def test_nothing_is_copied_beside_a_server_on_postgresql(
    database_url: str, postgres_url: str, tmp_path: Path
) -> None:
    back = f"sqlite:///{tmp_path / 'back.db'}"
    async with open_storage(postgres_url, migrate=True) as storage:
        for urls in ((database_url, postgres_url), (postgres_url, back)):
            with pytest.raises(DatabaseInUse, match="Stop the servers that use it"):
                await copy(*urls)

        assert not await storage.list_users()
    await copy(database_url, postgres_url)


async def test_connections_of_other_users_are_seen_without_privileges(
    database_url: str, postgres_url: str
) -> None:
    """PostgreSQL shows little of them to those who are no superusers."""
    name = f"plain_{secrets.token_hex(8)}"
    superuser = await asyncpg.connect(postgres_url)
    await superuser.execute(f"CREATE ROLE {name} LOGIN")
    try:
        theirs = postgres_url.replace("postgres@", f"{name}@")
        with pytest.raises(DatabaseInUse, match="1 of the user postgres"):
            await copy(database_url, theirs)
    finally:
        await superuser.execute(f"DROP ROLE {name}")
        await superuser.close()


async def test_no_server_starts_on_a_part_of_a_copy(
    database_url: str, target: str
) -> None:
    await fill(database_url)

    def kill(table: str, _: int) -> None:
        if table == "runs":
            raise Killed

    with pytest.raises(Killed):
        await copy(database_url, target, progress=kill)

    with pytest.raises(StorageUnavailable, match="Run that `llamakeep copy` again"):
        async with open_storage(target):
            pass
    with pytest.raises(StorageUnavailable, match="Only a part of"):
        await copy(target, f"{database_url}.other")
    faults = (await verify_database(target)).faults
    assert [fault for fault in faults if fault.startswith("Only a part of")]


async def test_nothing_is_copied_beside_a_server_or_from_nowhere(
    storage: Storage, database_url: str, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path / 'target.db'}"

    with pytest.raises(DatabaseInUse):
        await copy(database_url, target)
    with pytest.raises(DatabaseMissing):
        await copy(f"sqlite:///{tmp_path / 'none.db'}", target)
    with pytest.raises(StorageUnavailable, match="FROM and TO are both"):
        await copy(target, target)

    assert storage.is_sole_owner
    assert not await asyncio.to_thread((tmp_path / "target.db").exists)
