"""
What is done to the things that servers depend on, while clients rely on them.

No server is restarted but where that is the fault: what the others left unfinished has
to end by itself when the fault is over.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection, connect
from typing import Any

from tests.postgres import PostgresServer
from tests.torture.checker import Told
from tests.torture.client import WAYS, Client, Way
from tests.torture.clocks import NOTICED, Clock
from tests.torture.commit_proxy import CommitProxy
from tests.torture.crash_points import POINTS
from tests.torture.disks import SmallDisk
from tests.torture.scenarios import BOUND, Outcome, judge
from tests.torture.site import Site, fates

BUSY_TIMEOUT = 5.0
"""Seconds for which a server waits for SQLite's lock."""
CLIENTS = 8
"""Enough for a queue: it is left while the fault lasts, too."""
BREAKING_POINTS = (
    "before accept",
    "before claim",
    "after create",
    "before flush",
    "after find",
    "before finish",
    "before cancel",
)
"""Where a server is about to write, or to read what it cannot do without."""
FROZEN = 2.0
"""Seconds that a server is frozen at most while the fault begins: within its lease."""
LOOKS = 4
"""How often in a lease a server looks for runs that were left."""


@dataclass(frozen=True)
class Fault:
    """Something that is broken for a while."""

    name: str
    """What the report calls several of them."""
    broken: Callable[[Site], AbstractAsyncContextManager[None]]
    """Breaks it, and mends it."""
    seconds: float
    """How long it stays broken."""


def locked_file(path: Path, *, seconds: float = BUSY_TIMEOUT + 1.5) -> Fault:
    """Hold SQLite's lock for longer than a server waits for it."""

    @asynccontextmanager
    async def broken(_site: Site) -> AsyncIterator[None]:
        other = await asyncio.to_thread(_locked, path)
        try:
            yield
        finally:
            await asyncio.to_thread(other.close)

    return Fault("locks", broken, seconds)


def _locked(path: Path) -> Connection:
    connection = connect(
        path, isolation_level=None, timeout=60, check_same_thread=False
    )
    connection.execute("BEGIN IMMEDIATE")
    return connection


def crashed_database(server: PostgresServer, *, seconds: float = 0.5) -> Fault:
    """End PostgreSQL like a crash, and start it again."""

    @asynccontextmanager
    async def broken(_site: Site) -> AsyncIterator[None]:
        await asyncio.to_thread(server.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(server.start)

    return Fault("restarts", broken, seconds)


def paused_database(server: PostgresServer, *, seconds: float) -> Fault:
    """Freeze PostgreSQL: connections stay, answers do not come."""

    @asynccontextmanager
    async def broken(_site: Site) -> AsyncIterator[None]:
        await asyncio.to_thread(server.pause)
        try:
            yield
        finally:
            await asyncio.to_thread(server.resume)

    return Fault("pauses", broken, seconds)


def full_disk(disk: SmallDisk, *, seconds: float = 3) -> Fault:
    """Leave no room on the database's disk."""

    @asynccontextmanager
    async def broken(site: Site) -> AsyncIterator[None]:
        pids = [node.pid for node in site.nodes if node.pid is not None]
        await asyncio.to_thread(disk.fill, pids)
        try:
            yield
        finally:
            await asyncio.to_thread(disk.empty, pids)

    return Fault("times full", broken, seconds)


async def ask_during(
    site: Site,
    breaking: Coroutine[Any, Any, None],
    *,
    clients: int = CLIENTS,
    journal: list[Told] | None = None,
) -> list[Told]:
    """
    Start all servers, and let clients ask until `breaking` is done.

    Returns:
        Their journal, which is `journal` if there is one.
    """
    journal = [] if journal is None else journal
    for node in site.nodes:
        await site.start(node)
        await site.wait_until_serving(node)

    async with asyncio.TaskGroup() as group:
        breaks = group.create_task(breaking)

        async def keep_asking() -> None:
            client = Client(site, journal)
            while not breaks.done():
                await client.ask(site.chance.choice(WAYS))

        for _ in range(clients):
            group.create_task(keep_asking())
    return journal


async def break_at_random(
    site: Site, fault: Fault, *, times: int, clients: int = CLIENTS
) -> Outcome:
    """Break something `times` times while clients ask."""
    await site.replicate.lose_creates()

    async def breaking() -> None:
        for _ in range(times):
            await asyncio.sleep(site.chance.uniform(0.5, 1.5))
            async with fault.broken(site):
                await asyncio.sleep(fault.seconds)
            site.strikes.append(time.time())
        await asyncio.sleep(1)

    journal = await ask_during(site, breaking(), clients=clients)
    return await judge(site, journal, done=Counter({fault.name: times}))


async def break_at(site: Site, name: str, fault: Fault, *, times: int) -> Outcome:
    """
    Break something when the first server comes to the point `name`.

    The server stops itself there, and is woken when the fault has begun.
    """
    point, chance = POINTS[name], site.chance
    await site.replicate.lose_creates()
    if point.loses_creates:
        site.fates = fates(chance, lost=1, kept=2)
    node, *others = site.nodes
    for other in others:
        await site.start(other)
        await site.wait_until_serving(other)  # it starts before anything is broken
    journal: list[Told] = []
    client = Client(site, journal)
    ways: list[Way] = ["cancel"] * 3 if point.cancels else [*WAYS]
    reached = 0
    for _ in range(2 * times):
        if reached == times:
            break
        passes = chance.randint(1, point.passes)
        await site.replace(node, crash_at=name, passes=passes, how=signal.SIGSTOP)
        async with asyncio.TaskGroup() as group:
            asking = [
                group.create_task(client.ask(way, first=node))
                for way in ways * point.crowd
            ]
            while not (has_stopped := await site.has_stopped(node)):
                if all(each.done() for each in asking):
                    break  # it was not reached
                await asyncio.sleep(0.01)
            if has_stopped:
                reached += 1
                async with AsyncExitStack() as stack:
                    begins = stack.enter_async_context(fault.broken(site))
                    beginning = asyncio.ensure_future(begins)
                    # A frozen server may itself hold what the fault has to take.
                    await asyncio.wait([beginning], timeout=FROZEN)
                    site.wake(node)
                    await beginning
                    await asyncio.sleep(fault.seconds)
                site.strikes.append(time.time())
    return await judge(site, journal, done=Counter({fault.name: reached}))


async def lose_commits(site: Site, proxy: CommitProxy, *, times: int) -> Outcome:
    """Cut connections to PostgreSQL when a COMMIT was sent, or is answered."""
    await site.replicate.lose_creates()

    async def breaking() -> None:
        await asyncio.sleep(0.5)
        proxy.left = times
        while proxy.left:
            before = proxy.left
            await asyncio.sleep(0.1)
            if proxy.left < before:
                site.strikes.append(time.time())
        await asyncio.sleep(1)

    journal = await ask_during(site, breaking())
    done = Counter({"COMMITs lost": proxy.lost.total()})
    return await judge(site, journal, done=done)


async def keep_clocks_apart(
    site: Site, *, kills: int, jumps: Sequence[tuple[Clock, float]] = ()
) -> Outcome:
    """
    Kill servers whose clocks are wrong, or turn the clocks while they run.

    Args:
        site: Whose servers.
        kills: So many are killed.
        jumps: Which clock is how far from the right time from then on.
    """
    await site.replicate.lose_creates()

    async def breaking() -> None:
        for clock, seconds in jumps:
            await asyncio.sleep(site.chance.uniform(0, 1))
            await asyncio.to_thread(clock.set, seconds)
            await asyncio.sleep(NOTICED)
        for _ in range(kills):
            await asyncio.sleep(site.chance.uniform(0.5, 2))
            node = site.chance.choice(site.nodes)
            await site.kill(node)
            if len(site.nodes) > 1:
                await asyncio.sleep(site.chance.uniform(0, 2))
            await site.start(node)
        await asyncio.sleep(2)

    journal = await ask_during(site, breaking(), clients=6)
    done = Counter({"jumps": len(jumps)})
    return await judge(site, journal, done=done, has_true_clocks=False)


async def stop_in_order(
    site: Site, *, times: int, lease: float | None = None, pause: float = 0
) -> Outcome:
    """
    Tell servers to stop while runs go on for longer than the grace.

    Args:
        site: Whose servers.
        times: How often one is told to.
        lease: How long they hold runs where another server is to go on with them: it
            does so when it looks the next time, not when the lease has run out.
        pause: Seconds until a server that was stopped is started again.
    """
    await site.replicate.lose_creates()
    await site.replicate.talk_slowly()

    async def breaking() -> None:
        for number in range(times):
            await asyncio.sleep(site.chance.uniform(0.5, 1.5))
            node = site.nodes[number % len(site.nodes)]
            await site.stop(node)
            site.unreachable = node if len(site.nodes) > 1 else None
            await asyncio.sleep(pause)
            await site.start(node)
            await site.wait_until_serving(node)
            site.unreachable = None
        await asyncio.sleep(1)

    journal = await ask_during(site, breaking())
    bound = BOUND if lease is None else lease / LOOKS + 3
    return await judge(site, journal, done=Counter({"stops": times}), bound=bound)
