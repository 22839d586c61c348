"""PostgreSQL that refuses, is frozen, is full of connections, or keeps no UTF-8."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage, migrate_database, open_storage
from llamakeep.storage.database.postgres.connecting import keep_alive
from llamakeep.storage.database.postgres.slots import Slots
from tests.postgres import PostgresServer, PostgresUnavailable, stoppable_postgres


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that is these tests' alone."""
    try:
        with stoppable_postgres() as server:
            yield server
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
async def hurried(own_server: PostgresServer) -> AsyncIterator[Storage]:
    """A storage on it that waits for a second at most."""
    url = f"{own_server.url}?connect_timeout=1&command_timeout=1"
    async with open_storage(url, migrate=True) as storage:
        yield storage


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def _refusal(url: str) -> str:
    with pytest.raises(StorageUnavailable) as refusal:
        async with open_storage(url):
            pass
    with pytest.raises(StorageUnavailable) as other:
        await migrate_database(url)
    assert other.value.detail == refusal.value.detail
    return refusal.value.detail


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_keep_all_text_is_refused(
    postgres_server: str, encoding: str
) -> None:
    name = f"test_{encoding.lower()}"
    options = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    await _execute(
        postgres_server, f"CREATE DATABASE {name} ENCODING '{encoding}' {options}"
    )
    url = urlsplit(postgres_server)._replace(path=f"/{name}").geturl()

    said = await _refusal(url)

    await _execute(postgres_server, f"DROP DATABASE {name}")
    assert f"has the encoding {encoding}" in said
    assert "ENCODING 'UTF8'" in said


async def test_what_is_wrong_is_said_in_the_servers_own_words(
    postgres_server: str,
) -> None:
    server = urlsplit(postgres_server)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]

    missing = await _refusal(server._replace(path="/nowhere").geturl())
    nobody = await _refusal(
        server._replace(netloc=f"nobody-here:s3cret@127.0.0.1:{server.port}").geturl()
    )
    refused = await _refusal(f"postgresql://lk:s3cret@127.0.0.1:{closed}/kept")
    plain = await _refusal(f"{postgres_server}?sslmode=require")
    service = await _refusal("postgresql:///?service=nowhere&passfile=/nowhere")

    at = f"PostgreSQL at 127.0.0.1:{server.port}, database"
    assert missing == (
        f"{at} 'nowhere' cannot be used: database \"nowhere\" does not exist."
    )
    assert 'role "nobody-here" does not exist' in nobody
    assert f"127.0.0.1:{closed}, database 'kept' cannot be used: " in refused
    assert refused.lower().endswith(
        ("connection refused.", f"('127.0.0.1', {closed}).")
    )
    assert "rejected SSL upgrade" in plain
    assert service.startswith("PostgreSQL cannot be used: ")
    assert "s3cret" not in nobody + refused


@pytest.mark.slow
async def test_a_wrong_password_is_named_as_such(own_server: PostgresServer) -> None:
    await _execute(
        own_server.url,
        "DROP ROLE IF EXISTS lk",
        "CREATE ROLE lk LOGIN PASSWORD 'right'",
    )
    home = own_server._data / "pg_hba.conf"
    trusting = await asyncio.to_thread(home.read_text)
    await asyncio.to_thread(
        home.write_text, f"host all lk all scram-sha-256\n{trusting}"
    )
    await _execute(own_server.url, "SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)

    said = await _refusal(own_server.url.replace("postgres@", "lk:wr0ng@"))

    assert said.endswith('password authentication failed for user "lk".')
    assert "wr0ng" not in said


@pytest.mark.slow
async def test_a_frozen_server_is_given_up_soon_and_used_again(
    own_server: PostgresServer, hurried: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    await hurried.ping()
    began = time.monotonic()

    await asyncio.to_thread(own_server.pause)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await hurried.ping()
        has_left = time.monotonic() - began
        with caplog.at_level(logging.WARNING):
            results = await asyncio.gather(
                *(hurried.ping() for _ in range(30)),
                return_exceptions=True,
            )
    finally:
        await asyncio.to_thread(own_server.resume)

    assert all(isinstance(each, StorageUnavailable) for each in results)
    # Who does not wait any longer is not kept by the connection either.
    assert has_left < 3
    assert time.monotonic() - began < 20
    async with asyncio.timeout(10):
        while True:
            try:
                await hurried.add_user("alice", None)
                break
            except StorageUnavailable:
                await asyncio.sleep(0.05)
    [begun] = [r.getMessage() for r in caplog.records if "cannot be used" in r.message]
    assert "does not answer" in begun


@pytest.mark.slow
async def test_a_refused_connection_waits_for_one_that_is_free(
    own_server: PostgresServer,
) -> None:
    await _execute(
        own_server.url,
        "DROP ROLE IF EXISTS few",
        "CREATE ROLE few SUPERUSER LOGIN CONNECTION LIMIT 3",
        "ALTER ROLE few NOSUPERUSER",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO few",
    )
    async with open_storage(own_server.url, migrate=True):
        pass
    await _execute(own_server.url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO few")

    async with open_storage(own_server.url.replace("postgres@", "few@")) as storage:
        await asyncio.gather(*(storage.list_users() for _ in range(200)))


@pytest.mark.slow
async def test_a_frozen_migration_has_all_the_time_it_wants(
    own_server: PostgresServer,
) -> None:
    await _execute(own_server.url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    slow = f"{own_server.url}?command_timeout=1"
    holder = await asyncpg.connect(own_server.url)
    await holder.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    lock = holder.transaction()
    await lock.start()
    await holder.execute("LOCK TABLE alembic_version")

    migrating = asyncio.ensure_future(migrate_database(slow))
    await asyncio.sleep(1.5)
    assert not migrating.done()
    await lock.rollback()
    await holder.close()

    before, _ = await migrating
    assert before is None


def test_a_lost_host_ends_a_connection() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        keep_alive(connection, {})
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            limit = socket.TCP_USER_TIMEOUT
            assert connection.getsockopt(socket.IPPROTO_TCP, limit) == 10_000


async def test_slots_shrink_when_refused_and_grow_again() -> None:
    now = 0.0
    slots = Slots(3, clock=lambda: now)
    for _ in range(3):
        await slots.take()
    waiting = asyncio.ensure_future(slots.refused())
    await asyncio.sleep(0)
    assert (slots.limit, slots.in_use) == (2, 2)

    slots.give_back()
    await waiting
    assert slots.in_use == 2

    now = 10
    await slots.take()
    assert (slots.limit, slots.in_use) == (3, 3)


async def test_a_caller_who_leaves_the_line_takes_no_slot() -> None:
    slots = Slots(1)
    await slots.take()
    leaving, staying = (asyncio.ensure_future(slots.take()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)

    slots.give_back()

    await staying
    assert slots.in_use == 1
