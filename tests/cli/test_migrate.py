"""`llamakeep migrate`: what it says before it changes anything, and when it asks."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

from llamakeep.storage import Storage, migrating
from llamakeep.storage.database import schema
from llamakeep.storage.database.port import Database
from llamakeep.storage.storage import open_database
from tests.cli.conftest import ROOT, Type
from tests.storage.running import add_older_user

STEPS = "0020: Keep of each login what its user has to know to end it.\n0021: "


async def opened(url: str) -> Database:
    return await asyncio.to_thread(open_database, url, is_owner=True)


async def make_older(url: str, *, has_user: bool = True) -> None:
    database = await opened(url)
    await database.write(lambda connection: schema.migrate(connection, "0019"))
    if has_user:
        await add_older_user(Storage(database))
    await database.close()


async def revision_of(url: str) -> str | None:
    database = await opened(url)
    found = await database.read(schema.revision)
    await database.close()
    return found


def test_a_file_is_migrated_without_a_question_and_backed_up(
    typed: Type, fresh: Path
) -> None:
    asyncio.run(make_older(f"sqlite:///{fresh}"))

    done = typed("migrate")

    assert done.stdout.startswith(STEPS)
    assert done.stdout.endswith(f"{fresh}: from revision 0019 to {schema.HEAD}.\n")
    assert fresh.with_name("fresh.db.revision-0019").exists()
    assert "is at revision" in typed("migrate").stdout


@pytest.fixture
def shared(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PostgreSQL database without tables, which commands use."""
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", postgres_url)
    return postgres_url


async def test_tables_of_postgresql_with_users_are_changed_when_a_person_agrees(
    typed: Type, shared: str
) -> None:
    await make_older(shared)

    refused = await asyncio.to_thread(typed, "migrate", stdin="n\n")
    left = await revision_of(shared)
    agreed = await asyncio.to_thread(typed, "migrate", stdin="y\n")

    assert (refused.exit_code, left) == (1, "0019")
    assert refused.stdout.startswith(STEPS)
    assert "which is backed up?" in refused.stderr
    assert agreed.stdout.endswith(f"from revision 0019 to {schema.HEAD}.\n")


async def test_nobody_has_to_agree_where_that_is_said_before_or_nothing_is_there(
    typed: Type, shared: str
) -> None:
    created = await asyncio.to_thread(typed, "migrate")
    await empty(shared)
    await make_older(shared, has_user=False)
    without_users = await asyncio.to_thread(typed, "migrate")
    await empty(shared)
    await make_older(shared)
    unattended = await asyncio.to_thread(typed, "migrate", "--yes")

    assert created.stdout.endswith(f"from revision none to {schema.HEAD}.\n")
    for done in (without_users, unattended):
        assert done.stdout.endswith(f"from revision 0019 to {schema.HEAD}.\n")


async def test_without_a_terminal_it_is_said_how_to_agree(
    shared: str,
) -> None:
    await make_older(shared)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    detached = [sys.executable, "-m", "llamakeep", "migrate"]

    process = await asyncio.create_subprocess_exec(
        *detached,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        start_new_session=True,
    )
    _, said = await process.communicate()

    assert process.returncode == 2
    assert b"Nothing was changed. Say `--yes`." in said
    assert await revision_of(shared) == "0019"


async def empty(url: str) -> None:
    database = await opened(url)
    await database.write(lambda connection: schema.migrate(connection, "base"))
    await database.close()


def test_a_long_lock_is_said_before() -> None:
    step = schema.Step("0099", "Index all runs", {"sqlite": 4.0})

    assert migrating.told(step, "sqlite", 2_500_000) == (
        "0099: Index all runs. There are 2,500,000 runs, which cannot be written for "
        "about 10 s."
    )
    assert migrating.told(step, "sqlite", 200_000) == "0099: Index all runs."
    assert migrating.told(step, "postgresql", 2_500_000) == "0099: Index all runs."
