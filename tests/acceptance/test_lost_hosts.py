"""A node whose host is lost, and comes back."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import nullcontext
from ipaddress import IPv4Address
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.processes import Runner, ServerProcess
from tests.acceptance.test_nodes import LEASE, NOTICED, begin, owner_of, until_taken
from tests.postgres import PostgresUnavailable, new_database
from tests.torture.faults import break_at_random
from tests.torture.hosts import HostUnavailable, TwoHosts, cut_off, two_hosts
from tests.torture.replicate import emulator_process
from tests.torture.site import prepare
from tests.torture.stage import Stage, in_thread
from tests.waiting import until

GONE = 11
"""Seconds after which PostgreSQL drops the connections of a host that is lost."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    try:
        with two_hosts(tmp_path_factory.mktemp("host")) as hosts:
            yield hosts
    except (HostUnavailable, PostgresUnavailable) as reason:
        if os.environ.get("CI"):
            pytest.fail(f"Lost hosts must be tested here. {reason}")
        pytest.skip(f"Not tested with a lost host. {reason}")


@pytest.fixture
async def database(hosts: TwoHosts) -> AsyncIterator[str]:
    """The URL of a database, on both hosts."""
    async with new_database(hosts.postgres.url) as url:
        await prepare(url)
        yield hosts.host.seen(url)


@pytest.fixture
async def nodes(
    hosts: TwoHosts, database: str, runner: Runner, tmp_path: Path
) -> AsyncIterator[Sequence[ServerProcess]]:
    """One node there, and one here."""
    settings = {"database_url": database, "lease": LEASE}
    nodes = [
        ServerProcess(each, tmp_path, words=300, pause=0.01, settings=settings)
        for each in (hosts.there, runner)
    ]
    for node in nodes:
        await node.start()
        await node.client.get("/healthz")
    yield nodes
    for node in nodes:
        await node.close()


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_the_runs_of_a_lost_host_go_on_elsewhere_and_it_finds_that_out(
    hosts: TwoHosts, nodes: Sequence[ServerProcess], connection: asyncpg.Connection
) -> None:
    lost, other = nodes
    run_id = await begin(lost)
    owner = await owner_of(connection, run_id)

    async def connections() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE client_addr = $1"
        return int(await connection.fetchval(query, IPv4Address(hosts.host.address)))

    async def have_gone() -> bool:
        return not await connections()

    async def has_joined_again() -> bool:
        return "taken for dead" in await asyncio.to_thread(lost.log.read_text)

    assert await connections()
    await asyncio.to_thread(hosts.host.cut)
    cut_at = time.monotonic()
    try:
        taken_at = await until_taken(connection, run_id, owner)
        ended = await other.ended_run(run_id)
        await until(have_gone)
        gone_at = time.monotonic()
    finally:
        await asyncio.to_thread(hosts.host.mend)
    await until(has_joined_again)

    assert ended["status"] == "succeeded"
    assert ended["response"].count(" ") == 300
    # Its own attempt is over by now as well, and has not become the answer.
    assert (await lost.ended_run(run_id))["response"] == ended["response"]
    assert await connection.fetchval("SELECT attempt FROM runs") == 2
    assert LEASE / 2 < taken_at - cut_at < LEASE + NOTICED
    assert gone_at - cut_at < GONE + NOTICED
    # It works on, under the same name.
    assert await owner_of(connection, await begin(lost)) == owner


async def test_nothing_is_lost_or_paid_for_twice_when_a_host_is_lost_under_load(
    hosts: TwoHosts, database: str, runner: Runner, tmp_path: Path
) -> None:
    emulating = emulator_process(tmp_path, host=hosts.host.machine)
    async with in_thread(emulating) as emulator:
        stage = Stage(
            lambda _: nullcontext(database),
            nodes=2,
            runner=runner,
            emulator=emulator,
            folder=tmp_path,
            chance=random.Random(),
        )
        async with stage.site("cut", runners=[hosts.there, runner]) as site:
            found = await break_at_random(site, cut_off(hosts.host), times=1)

    assert found.verdict.damage == []
