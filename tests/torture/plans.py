"""Which faults of what servers depend on are tried, and how often."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.postgres import new_database, stoppable_postgres
from tests.torture.backups import back_up_while_killing
from tests.torture.clocks import AHEAD, BEHIND, clocked_runner
from tests.torture.commit_proxy import commit_proxy
from tests.torture.copies import copy_there_and_back
from tests.torture.disks import SmallDisk, small_disk
from tests.torture.faults import (
    BREAKING_POINTS,
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
from tests.torture.hosts import cut_off, two_hosts
from tests.torture.replicate import emulator_process
from tests.torture.scenarios import Outcome
from tests.torture.site import Site
from tests.torture.stage import (
    NewDatabase,
    Stage,
    empty_on,
    existing,
    in_thread,
    postgres_on,
    sqlite_on,
)

Job = Callable[[], Awaitable[Outcome]]
LONG_LEASE = 12.0
"""Seconds: so long that it shows whether a server that stops lets its runs go."""
PAUSES = (4.0, 12.0)
"""Seconds: longer than a lease, and longer than a statement may take."""
JUMPS = (AHEAD, BEHIND, 0.0)
BACKED_UP = "backed up every 2 s, killed at random, and restored"


@dataclass(frozen=True)
class Planned:
    """One row of the report, and what it consists of."""

    name: str
    jobs: Mapping[str, Job]


def on_sqlite(stage: Stage, scale: float) -> Sequence[Planned]:
    """Return what is done to one server that owns its file."""
    often = partial(times, scale=scale)
    clocks = {"ahead": AHEAD, "behind": BEHIND, "jumping": 0.0}
    return [
        Planned(
            "file locked for longer than a server waits",
            {
                **{
                    f"locked {point}": partial(_lock_at, stage, point, often(2))
                    for point in BREAKING_POINTS
                },
                "locked": partial(_lock_at_random, stage, often(4)),
            },
        ),
        Planned(
            "disk full, and empty again",
            {
                **{
                    f"full {point}": partial(_fill_at, stage, point, often(2))
                    for point in BREAKING_POINTS
                },
                "full": partial(_fill_at_random, stage, often(8)),
            },
        ),
        Planned(
            "clock ahead, behind, or jumping",
            {
                f"clock {name}": partial(_skew, stage, [seconds], often(8))
                for name, seconds in clocks.items()
            },
        ),
        Planned(
            "told to stop, with runs longer than the grace",
            {"stops": partial(_stop, stage, often(10))},
        ),
        Planned(
            BACKED_UP,
            {"backups": partial(_back_up, stage, stage.new_database, scale)},
        ),
    ]


def on_postgres(
    stage: Stage, scale: float, *, server_url: str, template: str
) -> Sequence[Planned]:
    """Return what is done to servers that share a database."""
    often = partial(times, scale=scale)
    clocks = {
        "ahead": [0.0, AHEAD],
        "behind": [0.0, BEHIND],
        "apart": [BEHIND, AHEAD],
    }
    small = partial(postgres_on, server_url=server_url, template=template)
    return [
        Planned(
            "PostgreSQL crashed and restarted",
            {"restarted": partial(_restart, stage, often(2), often(8))},
        ),
        *_database_away(stage, scale),
        Planned(
            "disk full, and empty again",
            {"full": partial(_fill_at_random, stage, often(8), small)},
        ),
        Planned(
            "clocks apart, or jumping",
            {
                **{
                    f"clocks {name}": partial(_skew, stage, seconds, often(6))
                    for name, seconds in clocks.items()
                },
                "clocks jumping": partial(_skew, stage, [0.0, 0.0], often(6)),
            },
        ),
        Planned(
            "told to stop, with runs longer than the grace",
            {"stops": partial(_stop, stage, often(6), LONG_LEASE)},
        ),
        Planned(
            "the same, one server with two workers",
            {"stops workers": partial(_stop_workers, stage, often(4))},
        ),
        Planned(
            BACKED_UP,
            {"backups": partial(_back_up, stage, empty_on(server_url), scale)},
        ),
        Planned(
            "copied to PostgreSQL and back, killed in each",
            {"copies": partial(_copy, stage, server_url, often(10_000))},
        ),
    ]


def on_three_servers(stage: Stage, scale: float) -> Sequence[Planned]:
    """Return what is done to three servers that share a database."""
    often = partial(times, scale=scale)
    return [
        Planned(
            "one server's network cut for longer than its lease",
            {"cuts": partial(_cut, stage, often(10))},
        ),
        Planned(
            "PostgreSQL crashed and restarted",
            {"restarted": partial(_restart_at_random, stage, often(20))},
        ),
        *_database_away(stage, scale),
        Planned(
            "clocks apart, or jumping",
            {
                "clocks apart": partial(_skew, stage, [BEHIND, 0.0, AHEAD], often(10)),
                "clocks jumping": partial(_skew, stage, [0.0] * 3, often(10)),
            },
        ),
        Planned(
            "told to stop, with runs longer than the grace",
            {"stops": partial(_stop, stage, often(10), LONG_LEASE)},
        ),
    ]


def _database_away(stage: Stage, scale: float) -> Sequence[Planned]:
    """Return how a shared database stops answering, with any number of servers."""
    often = partial(times, scale=scale)
    return [
        Planned(
            "PostgreSQL paused",
            {"paused": partial(_pause, stage, often(4))},
        ),
        Planned(
            "COMMITs lost, or their answers",
            {"commits": partial(_lose_commits, stage, often(100))},
        ),
    ]


def times(number: int, scale: float) -> int:
    """Return how often something is done; 1 is all of it."""
    return max(1, round(number * scale))


async def _lock_at(stage: Stage, point: str, count: int) -> Outcome:
    async with stage.site(f"locked {point}") as site:
        return await break_at(site, point, locked_file(file_of(site)), times=count)


async def _lock_at_random(stage: Stage, count: int) -> Outcome:
    async with stage.site("locked") as site:
        return await break_at_random(site, locked_file(file_of(site)), times=count)


def file_of(site: Site) -> Path:
    """Return the file of a SQLite database."""
    return Path(site.database_url.removeprefix("sqlite:///"))


async def _fill_at(stage: Stage, point: str, count: int) -> Outcome:
    async with (
        in_thread(small_disk()) as disk,
        stage.site(f"full {point}", database=sqlite_on(disk)) as site,
    ):
        return await break_at(site, point, full_disk(disk), times=count)


async def _fill_at_random(
    stage: Stage,
    count: int,
    database: Callable[[SmallDisk], NewDatabase] = sqlite_on,
) -> Outcome:
    async with (
        in_thread(small_disk()) as disk,
        stage.site("full", database=database(disk)) as site,
    ):
        return await break_at_random(site, full_disk(disk), times=count)


async def _skew(stage: Stage, seconds: Sequence[float], kills: int) -> Outcome:
    """Give servers such clocks; where all are right, the last one's jumps."""
    name = "clocks" + "".join(f"{each:+g}" for each in seconds)
    async with AsyncExitStack() as stack:
        runners = []
        for number, each in enumerate(seconds):
            folder = stage.folder / f"{name}-{number}-runner"
            clocked = in_thread(clocked_runner(folder, each))
            runner, clock = await stack.enter_async_context(clocked)
            runners.append(runner)
        jumps = [] if any(seconds) else [(clock, each) for each in JUMPS]
        site = await stack.enter_async_context(stage.site(name, runners=runners))
        return await keep_clocks_apart(site, kills=kills, jumps=jumps)


async def _stop(stage: Stage, count: int, lease: float | None = None) -> Outcome:
    if lease is None:
        async with stage.site("stops") as site:
            return await stop_in_order(site, times=count)
    async with stage.site("stops", lease=lease) as site:
        return await stop_in_order(site, times=count, lease=lease, pause=lease / 2)


async def _stop_workers(stage: Stage, count: int) -> Outcome:
    async with stage.site("stops-workers", nodes=1, has_workers=True) as site:
        return await stop_in_order(site, times=count)


async def _lose_commits(stage: Stage, count: int) -> Outcome:
    async with (
        stage.new_database(stage.folder) as url,
        commit_proxy(url, stage.chance) as proxy,
        stage.site("commits", database=existing(proxy.url)) as site,
    ):
        return await lose_commits(site, proxy, times=count)


async def _restart(stage: Stage, at_points: int, at_random: int) -> Outcome:
    whole = Outcome()
    async with in_thread(stoppable_postgres()) as server:
        new, fault = stage.on(server), crashed_database(server)
        for point in BREAKING_POINTS:
            async with stage.site(f"restarted {point}", database=new) as site:
                whole += await break_at(site, point, fault, times=at_points)
        async with stage.site("restarted", database=new) as site:
            whole += await break_at_random(site, fault, times=at_random)
    return whole


async def _restart_at_random(stage: Stage, count: int) -> Outcome:
    async with (
        in_thread(stoppable_postgres()) as server,
        stage.site("restarted", database=stage.on(server)) as site,
    ):
        return await break_at_random(site, crashed_database(server), times=count)


async def _cut(stage: Stage, count: int) -> Outcome:
    """Cut the network of the first server; the others share a host."""
    folder = stage.folder / "cuts-there"
    await asyncio.to_thread(folder.mkdir, parents=True)
    async with (
        in_thread(two_hosts(folder)) as hosts,
        in_thread(emulator_process(folder, host=hosts.host.machine)) as emulator,
        stage.site(
            "cuts",
            database=hosts.seen(stage.on(hosts.postgres)),
            emulator=emulator,
            runners=[hosts.there, *[stage.runner] * (stage.nodes - 1)],
        ) as site,
    ):
        return await break_at_random(site, cut_off(hosts.host), times=count)


async def _pause(stage: Stage, count: int) -> Outcome:
    whole = Outcome()
    async with in_thread(stoppable_postgres()) as server:
        new = stage.on(server)
        for seconds in PAUSES:
            name = f"paused {seconds:g}"
            async with stage.site(name, database=new) as site:
                fault = paused_database(server, seconds=seconds)
                whole += await break_at_random(site, fault, times=count)
    return whole


async def _back_up(stage: Stage, empty: NewDatabase, scale: float) -> Outcome:
    async with stage.site("backups") as site:
        return await back_up_while_killing(
            site,
            stage.runner,
            stage.folder / "backups",
            empty,
            kills=times(20, scale),
            longest_pause=4,
            restores=times(8, scale),
        )


async def _copy(stage: Stage, server_url: str, runs: int) -> Outcome:
    folder = stage.folder / "copies"
    await asyncio.to_thread(folder.mkdir, parents=True)
    async with new_database(server_url) as url:
        return await copy_there_and_back(folder, url, runs=runs, kills=2)
