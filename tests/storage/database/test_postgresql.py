import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from llamakeep.domain import User
from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage, migrate_database, open_storage
from llamakeep.storage.database.postgres import pipelines, slots
from llamakeep.storage.database.postgres.connecting import SERVER_TIMEOUTS
from llamakeep.storage.database.postgres.database import LONGEST_PAUSE
from tests.storage.gates import Gate, open_gate
from tests.storage.running import NODE, ended, new_run
from tests.waiting import until


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    async with open_gate(database_url) as gate:
        yield gate


@pytest.fixture
async def distant(gate: Gate) -> AsyncIterator[Storage]:
    """A storage whose server is behind the gate."""
    async with open_storage(gate.url) as storage:
        yield storage


async def test_a_server_that_is_gone_is_named_as_the_reason(
    gate: Gate, distant: Storage
) -> None:
    await gate.shut()

    with pytest.raises(StorageUnavailable, match="PostgreSQL") as refusal:
        await distant.add_user("alice", None)

    assert refusal.value.retry_after is not None
    with pytest.raises(StorageUnavailable):
        await distant.list_users()
    with pytest.raises(StorageUnavailable):
        await distant.ping()
    await gate.open()


@pytest.mark.parametrize("name", ["runs", "alembic_version"])
async def test_tables_of_another_application_are_not_taken_for_ours(
    postgres_url: str, name: str
) -> None:
    server = await asyncpg.connect(postgres_url)
    await server.execute("CREATE TABLE spatial_ref_sys (id int)")
    await server.execute(f"CREATE TABLE {name} (version_num text)")
    await server.execute(f"INSERT INTO {name} VALUES ('ae1027a6acf')")
    await server.close()

    with pytest.raises(StorageUnavailable, match="is another application's"):
        await migrate_database(postgres_url)


async def test_a_server_that_comes_back_is_used_again(
    gate: Gate, distant: Storage
) -> None:
    await gate.shut()
    with pytest.raises(StorageUnavailable):
        await distant.add_user("alice", None)

    await gate.open()

    alice = await distant.add_user("alice", None)
    assert await distant.list_users() == [alice]


async def test_connections_that_the_server_ended_are_replaced(
    storage: Storage, database_url: str, alice: User
) -> None:
    administrator = await asyncpg.connect(database_url)
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid != pg_backend_pid()"
    )
    await administrator.close()
    await asyncio.sleep(0.2)  # until the connections are known to be closed

    assert await storage.list_users() == [alice]


@pytest.mark.parametrize(
    "sqlstate",
    ["53100", "53300", "57P01", "57P03", "25006", "08006", "58030"],
)
async def test_what_the_server_cannot_do_now_is_not_a_bug(
    storage: Storage, sqlstate: str
) -> None:
    def refusing(connection: Connection) -> None:
        connection.execute(
            text(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{sqlstate}'; END $$")
        )

    with pytest.raises(StorageUnavailable):
        await storage._database.write(refusing)


async def test_a_database_that_is_not_there_is_named_as_the_reason(
    postgres_server: str,
) -> None:
    nowhere = urlsplit(postgres_server)._replace(path="/nowhere").geturl()

    with pytest.raises(StorageUnavailable):
        async with open_storage(nowhere):
            pass


async def test_a_bug_in_a_statement_is_a_bug(storage: Storage) -> None:
    with pytest.raises(Exception, match="nonsense") as failure:
        await storage._database.read(lambda c: c.execute(text("SELECT nonsense")))

    assert not isinstance(failure.value, StorageUnavailable)


async def test_more_callers_than_connections_wait_for_each_other(
    storage: Storage,
) -> None:
    await asyncio.gather(*(storage.add_user(f"user{n}", None) for n in range(100)))

    assert len(await storage.list_users()) == 100


async def test_a_process_that_is_frozen_in_a_transaction_does_not_hold_locks_for_ever(
    storage: Storage, alice: User
) -> None:
    def freeze(connection: Connection) -> None:
        lock = text("UPDATE users SET username = 'frozen' WHERE id = :id")
        connection.execute(lock, {"id": alice.id})
        limit = text("SHOW idle_in_transaction_session_timeout")
        assert connection.scalar(limit) == f"{LONGEST_PAUSE}s"
        connection.execute(text("SET idle_in_transaction_session_timeout = '50ms'"))
        await_only(asyncio.sleep(0.5))
        connection.execute(text("SELECT 1"))

    with pytest.raises(StorageUnavailable):
        await storage._database.write(freeze)

    assert await storage.find_credentials("alice") is not None


async def test_the_server_looks_often_whether_the_host_of_a_client_is_still_there(
    storage: Storage,
) -> None:
    def shown(connection: Connection) -> dict[str, str]:
        return {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in SERVER_TIMEOUTS
        }

    assert await storage._database.read(shown) == SERVER_TIMEOUTS


async def test_connections_that_are_no_longer_needed_are_closed(
    database_url: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "LATELY", 0.2)
    monkeypatch.setattr(pipelines, "UNUSED", 0.2)
    administrator = await asyncpg.connect(database_url)

    async def connections() -> int:
        found: int = await administrator.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid != pg_backend_pid() "
            "AND datname = current_database() AND application_name = 'counted'"
        )
        return found

    async with open_storage(f"{database_url}?application_name=counted") as storage:
        run = new_run(alice)
        await storage.accept(run, node=NODE)
        assert await storage.finish(ended(run))
        before = await connections()
        wait = text("SELECT pg_sleep(0.2)")
        await asyncio.gather(
            *(storage._database.read(lambda c: c.execute(wait)) for _ in range(8))
        )
        assert await connections() > before + 2

        async def is_one_left() -> bool:
            await storage.ping()
            return await connections() == 1

        await until(is_one_left)
        again = new_run(alice)
        await storage.accept(again, node=NODE)
        assert await storage.finish(ended(again))
    await administrator.close()
