"""What all tests share: the guards, and a PostgreSQL server if one can be had."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import BlockBuster

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
