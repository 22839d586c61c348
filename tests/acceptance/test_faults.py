"""
What servers depend on breaks for a while, and they are not restarted.

A short version of what `make torture` does; the promises are in docs/durability.md.
"""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from replicate_emulator import open_emulator
from tests.acceptance.processes import Runner
from tests.postgres import new_database, stoppable_postgres
from tests.torture.clocks import (
    AHEAD,
    BEHIND,
    Clock,
    ClockUnavailable,
    clocked_runner,
)
from tests.torture.commit_proxy import commit_proxy
from tests.torture.disks import SmallDisk, small_disk
from tests.torture.faults import (
    break_at,
    break_at_random,
    crashed_database,
    full_disk,
    keep_clocks_apart,
    locked_file,
    lose_commits,
    paused_database,
    stop_in_order,
)
from tests.torture.plans import LONG_LEASE, file_of
from tests.torture.site import prepare
from tests.torture.stage import Stage, existing, in_thread, postgres_on, sqlite_on


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with open_emulator() as url:
        yield url


@pytest.fixture
def stage(runner: Runner, tmp_path: Path, emulator: str, migrated_file: Path) -> Stage:
    """Where one server owns a SQLite file."""

    @asynccontextmanager
    async def new(folder: Path) -> AsyncIterator[str]:
        file = await asyncio.to_thread(shutil.copy, migrated_file, folder)
        yield f"sqlite:///{file}"

    return Stage(
        new,
        nodes=1,
        runner=runner,
        emulator=emulator,
        folder=tmp_path,
        chance=random.Random(),
    )


@pytest.fixture
def shared_stage(
    runner: Runner, tmp_path: Path, emulator: str, postgres_server: str
) -> Stage:
    """Where two servers share a PostgreSQL database."""

    @asynccontextmanager
    async def new(_folder: Path) -> AsyncIterator[str]:
        async with new_database(postgres_server) as url:
            await prepare(url)
            yield url

    return Stage(
        new,
        nodes=2,
        runner=runner,
        emulator=emulator,
        folder=tmp_path,
        chance=random.Random(),
    )


@pytest.fixture
async def disk() -> AsyncIterator[SmallDisk]:
    async with in_thread(small_disk()) as disk:
        yield disk


async def test_a_file_that_is_locked_for_too_long_ends_no_run(stage: Stage) -> None:
    async with stage.site("locked") as site:
        fault = locked_file(file_of(site))
        found = await break_at(site, "before claim", fault, times=1)

    assert found.verdict.damage == []
    assert found.done == {"locks": 1}


async def test_a_full_disk_ends_no_run(stage: Stage, disk: SmallDisk) -> None:
    async with stage.site("full", database=sqlite_on(disk)) as site:
        fault = full_disk(disk, seconds=1.5)
        found = await break_at(site, "before claim", fault, times=1)

    assert found.verdict.damage == []
    assert found.done == {"times full": 1}


async def test_a_full_disk_of_postgresql_ends_no_run(
    shared_stage: Stage, disk: SmallDisk, postgres_server: str, postgres_url: str
) -> None:
    if not disk.is_mounted or "LLAMAKEEP_TEST_POSTGRES" in os.environ:
        pytest.skip("PostgreSQL's disk cannot be filled here.")
    await prepare(postgres_url)
    template = postgres_url.rpartition("/")[2]
    database = postgres_on(disk, postgres_server, template)
    async with shared_stage.site("full", database=database) as site:
        fault = full_disk(disk, seconds=1.5)
        found = await break_at_random(site, fault, times=1)

    assert found.verdict.damage == []
    assert found.done == {"times full": 1}


@pytest.mark.parametrize("way", ["crashed", "paused"])
async def test_a_postgresql_that_is_away_for_a_while_ends_no_run(
    shared_stage: Stage, postgres_server: str, way: str
) -> None:
    del postgres_server  # or it cannot be had
    async with (
        in_thread(stoppable_postgres()) as server,
        shared_stage.site("away", database=shared_stage.on(server)) as site,
    ):
        if way == "crashed":
            fault = crashed_database(server)
            found = await break_at(site, "before claim", fault, times=1)
        else:
            fault = paused_database(server, seconds=4)
            found = await break_at_random(site, fault, times=1)

    assert found.verdict.damage == []
    assert found.done.total() == 1


async def test_a_commit_of_unknown_outcome_loses_nothing_and_pays_once(
    shared_stage: Stage, postgres_url: str
) -> None:
    await prepare(postgres_url)
    async with (
        commit_proxy(postgres_url, shared_stage.chance, every=5) as proxy,
        shared_stage.site("commits", database=existing(proxy.url)) as site,
    ):
        found = await lose_commits(site, proxy, times=10)

    assert found.verdict.damage == []
    assert found.done == {"COMMITs lost": 10}


@pytest.fixture(scope="module")
def clocked(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sequence[tuple[Runner, Clock]]]:
    """What starts servers with a clock of their own, and that clock, twice."""
    folder = tmp_path_factory.mktemp("clocks")
    with ExitStack() as stack:
        try:
            yield [
                stack.enter_context(clocked_runner(folder / name))
                for name in ("one", "other")
            ]
        except ClockUnavailable as reason:
            if os.environ.get("CI"):
                pytest.fail(str(reason))
            pytest.skip(str(reason))


@pytest.mark.parametrize("seconds", [AHEAD, BEHIND])
async def test_a_server_whose_clock_is_wrong_pays_once(
    stage: Stage, clocked: Sequence[tuple[Runner, Clock]], seconds: float
) -> None:
    (runner, clock), _ = clocked
    await asyncio.to_thread(clock.set, seconds)
    async with stage.site("clock", runners=[runner]) as site:
        found = await keep_clocks_apart(site, kills=1)

    assert found.verdict.damage == []
    assert found.creates_lost > 0


async def test_servers_whose_clocks_are_apart_pay_once(
    shared_stage: Stage, clocked: Sequence[tuple[Runner, Clock]]
) -> None:
    for (_, clock), seconds in zip(clocked, (BEHIND, AHEAD), strict=True):
        await asyncio.to_thread(clock.set, seconds)
    runners = [runner for runner, _ in clocked]
    async with shared_stage.site("clocks", runners=runners) as site:
        found = await keep_clocks_apart(site, kills=1)

    assert found.verdict.damage == []
    assert found.creates_lost > 0


async def test_a_server_whose_clock_jumps_while_it_runs_pays_once(
    stage: Stage, clocked: Sequence[tuple[Runner, Clock]]
) -> None:
    (runner, clock), _ = clocked
    await asyncio.to_thread(clock.set, 0)
    async with stage.site("jump", runners=[runner]) as site:
        jumps = [(clock, AHEAD), (clock, BEHIND)]
        found = await keep_clocks_apart(site, kills=0, jumps=jumps)

    assert found.verdict.damage == []
    assert found.creates_lost > 0


async def test_a_server_that_stops_before_its_runs_have_ended_leaves_them_to_itself(
    stage: Stage,
) -> None:
    async with stage.site("stop") as site:
        found = await stop_in_order(site, times=1)

    assert found.verdict.damage == []


async def test_a_server_that_stops_before_its_runs_have_ended_leaves_them_to_another(
    shared_stage: Stage,
) -> None:
    async with shared_stage.site("stop", lease=LONG_LEASE) as site:
        pause = LONG_LEASE / 2
        found = await stop_in_order(site, times=1, lease=LONG_LEASE, pause=pause)

    assert found.verdict.faults == []


async def test_workers_that_stop_before_their_runs_have_ended_leave_them_to_others(
    shared_stage: Stage,
) -> None:
    async with shared_stage.site("stop", nodes=1, has_workers=True) as site:
        found = await stop_in_order(site, times=1)

    assert found.verdict.damage == []
