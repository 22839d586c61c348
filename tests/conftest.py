"""What all tests share: the guards, and a PostgreSQL server if one can be had."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from llamakeep.domain import User
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from tests.guards import refuse_outside_connections
from tests.postgres import PostgresUnavailable, new_database, running_postgres

refuse_outside_connections()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail whatever blocks the event loop."""
    guard = BlockBuster()
    # Once per database URL; it asks the kernel for the current folder, not the disk.
    guard.functions["os.path.abspath"].can_block_in(
        "sqlalchemy/dialects/sqlite/pysqlite.py", "create_connect_args"
    )
    # Once per PostgreSQL connection: it looks for a password file and certificates.
    for function in guard.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
        # Once per new version: it reads the migrations, before anything else goes on.
        function.can_block_in("llamakeep/storage/schema.py", "migrate")
    guard.activate()
    yield guard
    guard.deactivate()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server on which databases may be created."""
    if url := os.environ.get("LLAMAKEEP_TEST_POSTGRES"):
        yield url
        return
    try:
        with running_postgres() as url:
            yield url
    except PostgresUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL must be tested here. {reason}")
        pytest.skip(f"Not tested on PostgreSQL. {reason}")


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """The URL of an empty PostgreSQL database that is this test's alone."""
    async with new_database(postgres_server) as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that nothing outside the test has a say in; SQLite in `tmp_path`."""
    ours = [f"LLAMAKEEP_{name}".upper() for name in Settings.model_fields]
    for name in (*ours, "REPLICATE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # away from a developer's `.env`
    return Settings(
        database_url=f"sqlite:///{tmp_path / 'llamakeep.db'}",
        flush_interval=0.02,
        shutdown_grace=1,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: what asks for it is tested on both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'llamakeep.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    async with open_storage(database_url, migrate=True) as storage:
        yield storage


@pytest.fixture
async def alice(storage: Storage) -> User:
    return await storage.add_user("alice", "hash of alice's password")


@pytest.fixture
async def bob(storage: Storage) -> User:
    return await storage.add_user("bob", "hash of bob's password")
