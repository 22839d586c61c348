import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import alembic.autogenerate
import alembic.config
import alembic.migration
import alembic.script
import asyncpg
import pytest
from sqlalchemy import Connection, inspect, text

from llamakeep.errors import DatabaseOutdated
from llamakeep.storage import Storage, migrating, open_storage, storage
from llamakeep.storage.database import schema
from llamakeep.storage.database.port import Database, Operation
from llamakeep.storage.database.sqlite import SqliteDatabase
from llamakeep.storage.metadata import metadata
from llamakeep.storage.storage import open_database
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(storage: Storage) -> Database:
    """A database that is at the newest migration."""
    return storage._database


def _tables(connection: Connection) -> Sequence[str]:
    names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return sorted(name for name in names if not _is_for_search(name))


def _is_for_search(name: str | None) -> bool:
    """The index of words is not in the metadata: each database has its own."""
    return name is not None and name.startswith("search_")


async def test_tables_can_be_made_taken_back_and_made_again(
    empty_url: str,
) -> None:
    async with open_storage(empty_url, migrate=True) as kept:
        made = await kept._database.read(_tables)

        await kept._database.write(lambda c: schema.migrate(c, "base"))
        left = await kept._database.read(_tables)
        await kept.migrate()

        assert await kept._database.read(_tables) == made
        assert made == sorted(metadata.tables)
        assert left == []
        await kept.add_user("alice", None)


async def test_a_new_file_is_what_the_migrations_make_of_an_empty_one(
    tmp_path: Path,
) -> None:
    def make(target: str) -> Operation[Any]:
        def operation(connection: Connection) -> Any:
            schema.migrate(connection, target)
            queries = (
                "SELECT type, name, tbl_name, sql FROM sqlite_master",
                "SELECT * FROM search_words_config",
                "SELECT * FROM alembic_version",
            )
            return {
                tuple(row)
                for query in queries
                for row in connection.exec_driver_sql(query)
            }

        return operation

    new, migrated = [
        await asyncio.to_thread(SqliteDatabase, tmp_path / name)
        for name in ("new.db", "migrated.db")
    ]

    made = await new.write(make("head"))

    assert made == await migrated.write(make(schema.HEAD))
    assert ("secure-delete", 1) in made
    await new.close()
    await migrated.close()


@pytest.mark.slow
def test_the_script_for_new_files_is_what_the_migrations_say() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_tables.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


async def test_migrating_what_is_up_to_date_changes_nothing(
    storage: Storage,
) -> None:
    alice = await storage.add_user("alice", None)

    await storage.migrate()

    assert await storage.list_users() == [alice]


async def test_the_tables_are_what_the_migrations_make(database: Database) -> None:
    def difference(connection: Connection) -> Any:
        # SQLite does not give defaults back as they were written.
        defaults = connection.dialect.name == "postgresql"
        context = alembic.migration.MigrationContext.configure(
            connection,
            opts={
                "compare_server_default": defaults,
                "include_name": lambda name, *_: not _is_for_search(name),
            },
        )
        return alembic.autogenerate.compare_metadata(context, metadata)

    assert await database.read(difference) == []


def test_the_newest_migration_is_named_where_no_import_is_needed() -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", "llamakeep.storage:migrations")

    newest = alembic.script.ScriptDirectory.from_config(config).get_heads()

    assert newest == [schema.HEAD]


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    empty_url: str,
) -> None:
    async with open_storage(empty_url, migrate=True) as kept:
        await kept._database.write(
            lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        )

    with pytest.raises(DatabaseOutdated, match=r"'9999'.*the version that wrote it"):
        async with open_storage(empty_url, migrate=True):
            pass

    with pytest.raises(DatabaseOutdated, match=r"'9999'.*the version that migrated it"):
        async with open_storage(empty_url, migrate=False):
            pass


async def test_tables_are_not_made_without_being_asked_for(empty_url: str) -> None:
    with pytest.raises(DatabaseOutdated, match="llamakeep migrate"):
        async with open_storage(empty_url, migrate=False):
            pass


async def test_a_shared_database_is_not_migrated_by_whoever_comes(
    postgres_url: str,
) -> None:
    with pytest.raises(DatabaseOutdated, match="llamakeep migrate"):
        async with open_storage(postgres_url):
            pass


async def test_migrating_tells_from_where_to_where(empty_url: str) -> None:
    assert await storage.migrate_database(empty_url) == (None, schema.HEAD)
    assert await storage.migrate_database(empty_url) == (schema.HEAD, schema.HEAD)


async def test_a_migration_that_fails_leaves_everything_as_it_was(
    empty_url: str,
) -> None:
    async with open_storage(empty_url, migrate=True) as kept:

        def failing(connection: Connection) -> None:
            schema.migrate(connection, "base")
            raise ArithmeticError

        with pytest.raises(ArithmeticError):
            await kept._database.write(failing)

        await kept.check_schema()
        assert await kept._database.read(_tables) == sorted(metadata.tables)


async def test_a_migration_waits_for_tables_in_use_without_holding_others_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "PAUSE", 0.1)
    await _make_older(postgres_url, "0018")
    user, looking = [await asyncpg.connect(postgres_url) for _ in range(2)]
    reading = user.transaction()
    await reading.start()
    await user.execute("SELECT count(*) FROM runs")

    async def is_waiting() -> bool:
        found = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        return bool(await looking.fetchval(found))

    async def is_not_waiting() -> bool:
        return not await is_waiting()

    migration = asyncio.create_task(storage.migrate_database(postgres_url))
    await until(is_waiting)
    await until(is_not_waiting)  # who reads now does not wait behind it
    await reading.rollback()

    assert await migration == ("0018", schema.HEAD)
    for connection in (user, looking):
        await connection.close()


async def test_several_processes_may_migrate_at_the_same_time(
    postgres_url: str,
) -> None:
    await _make_older(postgres_url, "0018")

    done = await asyncio.gather(
        *(storage.migrate_database(postgres_url) for _ in range(3))
    )

    assert {after for _, after in done} == {schema.HEAD}
    async with open_storage(postgres_url):
        pass


async def _make_older(url: str, revision: str) -> None:
    database = await asyncio.to_thread(open_database, url, is_owner=True)
    await database.write(lambda connection: schema.migrate(connection, revision))
    await database.close()
