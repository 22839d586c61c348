"""Servers on one PostgreSQL database, and what becomes of the runs of one that ends."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from llamakeep.storage import open_storage
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.waiting import until
from tests.wire import counted

NewNodes = Callable[..., Awaitable[list[ServerProcess]]]

NOTICED = 8.0
"""Seconds, on a machine that does much else; on an idle one it is 1 to 2."""

UNSEEN = 9.0
"""Seconds more where no other node has seen the killed one's session."""

LEASE = 3.0


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database of the nodes, which has tables."""
    async with open_storage(postgres_url, migrate=True):
        pass
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def new_nodes(
    new_server: NewServer, postgres_url: str, connection: asyncpg.Connection
) -> NewNodes:
    """Starts servers that share the database."""

    async def new(
        number: int = 2,
        *,
        sessions: int | None = None,
        are_apart: bool = False,
        words: int = 300,
        pause: float = 0.01,
        **settings: Any,
    ) -> list[ServerProcess]:
        settings = {"database_url": postgres_url, "lease": 60, **settings}
        if are_apart:
            settings["node_address"] = "127.0.0.1:0"
        nodes = [
            new_server(
                words=words,
                pause=pause,
                settings=settings,
                here=f"machine {index}" if are_apart else None,
            )
            for index in range(number)
        ]
        for node in nodes:
            await node.start()
        wanted = number, number if sessions is None else sessions
        await until(lambda: are_there(connection, *wanted))
        return nodes

    return new


async def are_there(connection: asyncpg.Connection, number: int, sessions: int) -> bool:
    query = (
        "SELECT (SELECT count(*) FROM nodes), (SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted)"
    )
    nodes, held = await connection.fetchrow(query)
    return bool(nodes >= number and held >= sessions)


async def owner_of(connection: asyncpg.Connection, run_id: str) -> str:
    """Return the node that has a run, which is nothing when it has ended."""
    query = "SELECT coalesce(owner, '') FROM runs WHERE id = $1"
    return str(await connection.fetchval(query, run_id))


async def begin(node: ServerProcess) -> str:
    body = {"prompt": "Hi", "background": True}
    accepted = await node.client.post("/prompt/", json=body)
    return str(accepted.json()["id"])


async def until_taken(connection: asyncpg.Connection, run_id: str, owner: str) -> float:
    """Wait until another node has the run, and return when that was."""

    async def is_taken() -> bool:
        return await owner_of(connection, run_id) not in {owner, ""}

    await until(is_taken)
    return time.monotonic()


async def test_the_runs_of_a_killed_node_go_on_at_another_one_long_before_its_lease(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    killed, other = await new_nodes()
    run_id = await begin(killed)
    owner = await owner_of(connection, run_id)
    await asyncio.sleep(1.5)  # both have seen each other's session

    await killed.stop(signal.SIGKILL)
    killed_at = time.monotonic()

    taken_at = await until_taken(connection, run_id, owner)
    ended = await other.ended_run(run_id)
    assert ended["status"] == "succeeded"
    assert ended["response"].count(" ") == 300
    assert taken_at - killed_at < NOTICED


async def test_a_server_alone_that_is_started_again_does_not_wait_for_its_last_lease(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    [server] = await new_nodes(1)
    await until(lambda: has_noted_its_session(connection))
    run_id = await begin(server)

    await server.restart()
    began = time.monotonic()

    assert (await server.ended_run(run_id))["status"] == "succeeded"
    assert time.monotonic() - began < UNSEEN + NOTICED  # its lease has 60 seconds


async def has_noted_its_session(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval("SELECT bool_and(had_session) FROM nodes"))


async def test_the_runs_of_a_node_that_stops_go_on_at_another_one_at_once(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    stopped, other = await new_nodes(shutdown_grace=0)
    run_id = await begin(stopped)
    owner = await owner_of(connection, run_id)

    assert await stopped.stop(signal.SIGTERM) == 0
    stopped_at = time.monotonic()

    taken_at = await until_taken(connection, run_id, owner)
    assert (await other.ended_run(run_id))["status"] == "succeeded"
    assert taken_at - stopped_at < NOTICED / 2


async def test_a_frozen_node_loses_its_runs_when_its_lease_is_over_and_finds_that_out(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    frozen, other = await new_nodes(lease=LEASE, flush_interval=0.05)
    run_id = await begin(frozen)
    owner = await owner_of(connection, run_id)

    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    frozen_at = time.monotonic()
    taken_at = await until_taken(connection, run_id, owner)
    os.kill(frozen.pid, signal.SIGCONT)

    ended = await other.ended_run(run_id)
    assert ended["status"] == "succeeded"
    assert ended["response"].count(" ") == 300  # and none of the first attempt's
    assert await connection.fetchval("SELECT attempt FROM runs") == 2
    assert LEASE / 2 < taken_at - frozen_at < LEASE + NOTICED
    # It works on, under the same name.
    again = await begin(frozen)
    assert await owner_of(connection, again) == owner
    assert "taken for dead" in await asyncio.to_thread(Path(frozen.log).read_text)


async def test_who_loses_its_session_but_lives_keeps_its_runs(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    node, _ = await new_nodes()
    run_id = await begin(node)
    owner = await owner_of(connection, run_id)
    await asyncio.sleep(1.5)  # both have seen each other's session

    for _ in range(3):
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted"
        )
        await asyncio.sleep(0.5)
        assert await owner_of(connection, run_id) == owner

    await node.ended_run(run_id)
    assert await connection.fetchval("SELECT attempt FROM runs") == 1


async def test_an_idle_node_costs_the_database_little(
    new_nodes: NewNodes, connection: asyncpg.Connection, postgres_url: str
) -> None:
    async with counted(postgres_url) as wire:
        await new_nodes(3, database_url=wire.url, flush_interval=1)
        await asyncio.sleep(2)
        before, began = wire.round_trips, time.monotonic()

        await asyncio.sleep(6)

        per_second = (wire.round_trips - before) / (time.monotonic() - began)
        connections = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert per_second / 3 <= 3
    assert connections / 3 <= 4


@pytest.mark.parametrize("has_direct_url", [True, False])
async def test_behind_a_pooler_a_direct_url_is_what_tells_that_a_node_was_killed(
    new_nodes: NewNodes,
    connection: asyncpg.Connection,
    postgres_url: str,
    has_direct_url: bool,
) -> None:
    settings: dict[str, Any] = {"database_url": f"{postgres_url}?pgbouncer=true"}
    settings |= (
        {"database_direct_url": postgres_url} if has_direct_url else {"lease": LEASE}
    )
    killed, _ = await new_nodes(sessions=2 * has_direct_url, **settings)
    run_id = await begin(killed)
    owner = await owner_of(connection, run_id)
    await asyncio.sleep(1.5)

    await killed.stop(signal.SIGKILL)
    killed_at = time.monotonic()

    taken_at = await until_taken(connection, run_id, owner)
    assert taken_at - killed_at < NOTICED + LEASE * (not has_direct_url)
    assert has_direct_url or taken_at - killed_at > LEASE / 2
