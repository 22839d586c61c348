"""What all tests share: databases, settings, a PostgreSQL server if there is one."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from argon2 import PasswordHasher
from blockbuster import BlockBuster

from llamakeep.credentials import passwords
from llamakeep.domain import User
from llamakeep.settings import Settings, variables
from llamakeep.storage import Storage, open_storage
from tests.postgres import PostgresUnavailable, new_database, running_postgres
from tests.statements import share_statements
from tests.valkey import ValkeyServer, ValkeyUnavailable

if TYPE_CHECKING:
    from tests.acceptance.processes import Runner

share_statements()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def unused_blockbuster() -> BlockBuster:
    guard = BlockBuster()
    # Once per database URL; it asks the kernel for the current folder, not the disk.
    guard.functions["os.path.abspath"].can_block_in(
        "sqlalchemy/dialects/sqlite/pysqlite.py", "create_connect_args"
    )
    # It guards its own data when a thread begins or ends.
    guard.functions["threading.Lock.acquire"].can_block_in(
        "coverage/collector.py", {"lock_data"}
    )
    # Once per PostgreSQL connection: it looks for a password file and certificates.
    for function in guard.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
        # Once per new version: it reads the migrations, before anything else goes on.
        function.can_block_in("llamakeep/storage/database/schema.py", "migrate")
        # Once per server, before it serves: OpenTelemetry asks what process this is.
        function.can_block_in("llamakeep/tracing/tracer.py", "__init__")
    return guard


@pytest.fixture(autouse=True)
def blockbuster(unused_blockbuster: BlockBuster) -> Iterator[BlockBuster]:
    """Fail whatever blocks the event loop."""
    unused_blockbuster.activate()
    yield unused_blockbuster
    unused_blockbuster.deactivate()


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
def valkey_server() -> Iterator[ValkeyServer]:
    """A Valkey server that is this test's alone; it starts in a few milliseconds."""
    try:
        server = ValkeyServer()
        server.start()
    except ValkeyUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"Valkey must be tested here. {reason}")
        pytest.skip(f"Not tested with Valkey. {reason}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Runner]":
    """What starts servers as processes of their own."""
    from tests.acceptance.processes import Runner  # noqa: PLC0415 - Windows cannot

    runner = Runner(tmp_path_factory.mktemp("runner"))
    yield runner
    runner.close()


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """The URL of an empty PostgreSQL database that is this test's alone."""
    async with new_database(postgres_server) as url:
        yield url


OUR_VARIABLES = sorted(variables.known())


def forget_surroundings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in OUR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)  # away from a developer's `.env`


@pytest.fixture(scope="session")
def default_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that nothing outside has a say in; to be copied, which is faster."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        forget_surroundings(monkeypatch, tmp_path_factory.mktemp("settings"))
        return Settings(flush_interval=0.02, shutdown_grace=1)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords in no time; `test_passwords` looks at what it really costs."""
    cheap = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", cheap)
    defaults = passwords.Passwords.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "hasher", cheap)


@pytest.fixture
def settings(
    cheap_passwords: None,  # noqa: ARG001 - what has settings may have passwords
    default_settings: Settings,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings that nothing outside the test has a say in; SQLite in `tmp_path`."""
    forget_surroundings(monkeypatch, tmp_path)
    return default_settings.model_copy(update={"database_url": sqlite_url})


@pytest.fixture(scope="session")
async def migrated_postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """The URL of a PostgreSQL database with this version's tables."""
    async with new_database(postgres_server) as url:
        async with open_storage(url, migrate=True):
            pass
        yield url


@pytest.fixture
async def clean_postgres_url(migrated_postgres_url: str) -> str:
    """The URL of a database that has the tables, and whose rows are all gone."""
    connection = await asyncpg.connect(migrated_postgres_url)
    await connection.execute(
        "TRUNCATE users, nodes, gates, audit_events, clock, search_renewal CASCADE"
    )
    await connection.close()
    return migrated_postgres_url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with this version's tables; to be copied, not to be opened."""
    path = tmp_path_factory.mktemp("migrated") / "llamakeep.db"

    async def migrate() -> None:
        async with open_storage(f"sqlite:///{path}"):
            pass

    asyncio.run(migrate())
    return path


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a SQLite file that has the tables, and no rows."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without rows: what asks for it is tested on both."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    return str(request.getfixturevalue("clean_postgres_url"))


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    async with open_storage(database_url) as storage:
        yield storage


@pytest.fixture
async def alice(storage: Storage) -> User:
    return await storage.add_user("alice", "hash of alice's password")


@pytest.fixture
async def bob(storage: Storage) -> User:
    return await storage.add_user("bob", "hash of bob's password")
