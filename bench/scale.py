"""
Measure many nodes on one PostgreSQL database: what they cost while nothing happens.

    python -m bench.scale [--nodes 20] [--runs 10000] [--seconds 30]

The nodes are in one process, each an application with connections and a port for other
nodes of its own; only what clients send is left out. PostgreSQL has fsync on. They are
watched when they have begun, and again when they hold runs whose provider says a word
and then nothing, each followed at another node. The last node is a process of its own,
which is killed. Statements are counted by a proxy in the same process.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle

import asyncpg
import uvicorn
from sqlalchemy import make_url

from bench.cores import allow_many_connections
from bench.nodes import DURABLE, QUIET, Spent, differences
from bench.usage import cpu_seconds, family
from bench.workers import find
from llamakeep.app import create_app
from llamakeep.domain import NewRun, Run, User
from llamakeep.engine.updates import Delta
from llamakeep.server.ports import AppsOnPorts
from llamakeep.server.server import Server
from llamakeep.services import Services
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from tests.fakes import Line, ScriptedProvider
from tests.postgres import new_database, stoppable_postgres
from tests.waiting import until
from tests.wire import Wire, counted

USERS = 1000
AT_ONCE = 50
"""Prompts, or readers, that begin at the same time."""
PROMPT = "What is FastAPI and why is it useful? " * 8
UNFINISHED = "status IN ('processing', 'queued', 'starting')"


@asynccontextmanager
async def open_node(url: str, most_running: int) -> AsyncIterator[Services]:
    """Run a node, whose provider says a word and then nothing."""
    settings = Settings(
        database_url=url,
        max_running=most_running,
        run_timeout=24 * 60 * 60,
        shutdown_grace=0,
    )
    script: list[Line] = ["So ", asyncio.Event()]
    provider = ScriptedProvider(script, models=["bench"], is_free=True)
    app = create_app(settings, providers=[provider])
    ready = asyncio.Event()

    async def when_ready(_: object) -> None:
        ready.set()

    async with app.router.lifespan_context(app):
        services: Services = app.state.services
        assert services.for_nodes is not None
        for_nodes, listening = services.for_nodes
        others = {listening.near: for_nodes}
        config = uvicorn.Config(
            AppsOnPorts(app, others), ws="none", lifespan="off", log_config=None
        )

        async def serve() -> None:
            await Server(config, app, when_ready).serve(list(others))

        serving = asyncio.create_task(serve())
        await ready.wait()
        try:
            yield services
        finally:
            serving.cancel()
            await asyncio.wait([serving])


async def accept(node: Services, users: Sequence[User], number: int) -> list[Run]:
    """Have a node accept prompts, of some users in turns."""
    turns, found = cycle(users), []
    for begin in range(0, number, AT_ONCE):
        some = range(min(AT_ONCE, number - begin))
        asked = [node.engine.accept(next(turns), NewRun(prompt=PROMPT)) for _ in some]
        found += await asyncio.gather(*asked)
    return found


async def follow(node: Services, run: Run, begun: asyncio.Event) -> None:
    async with aclosing(node.engine.follow(run)) as updates:
        async for update in updates:
            if isinstance(update, Delta):
                begun.set()


async def follow_all(
    pairs: Sequence[tuple[Services, Run]],
) -> list["asyncio.Task[None]"]:
    """Have each run followed at a node, once its reader has read a word."""
    tasks = []
    for at in range(0, len(pairs), AT_ONCE):
        some = pairs[at : at + AT_ONCE]
        begun = [asyncio.Event() for _ in some]
        for (node, run), each in zip(some, begun, strict=True):
            tasks.append(asyncio.create_task(follow(node, run, each)))
        async with asyncio.timeout(60):
            await asyncio.gather(*(each.wait() for each in begun))
    return tasks


@dataclass
class Bench:
    administrator: asyncpg.Connection
    postmaster: int
    wire: Wire
    nodes: int
    seconds: float

    async def spent(self) -> Spent:
        commits, wal = await self.administrator.fetchrow(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
        )
        postgres = sum(map(cpu_seconds, family(self.postmaster)))
        return Spent(time.process_time(), postgres, commits, wal, self.wire.round_trips)

    async def connections(self) -> int:
        found: int = await self.administrator.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        return found

    async def report_idle(self, what: str, *, after: float = 2 * QUIET) -> None:
        await asyncio.sleep(after)
        before, began = await self.spent(), time.monotonic()
        await asyncio.sleep(self.seconds)
        after_it, seconds = await self.spent(), time.monotonic() - began
        each = differences(before, after_it, seconds)
        cpu, postgres, commits, wal, round_trips = each
        connections = await self.connections() / self.nodes
        print(
            f"{what}: each node has {connections:.1f} connections, and a second "
            f"{round_trips / self.nodes:.2f} round trips and "
            f"{commits / self.nodes:.2f} commits. All together take a second "
            f"{wal / 2**20:.4f} MiB of WAL, {1000 * postgres:.0f} ms of PostgreSQL's "
            f"CPU, {1000 * cpu:.0f} ms of their own and the proxy's",
            flush=True,
        )


async def measure(chosen: argparse.Namespace, url: str) -> None:
    pattern = f"postgres .*-p {make_url(url).port}"
    postmaster = int(await asyncio.to_thread(find, "-o", "-f", pattern))
    each = chosen.runs // chosen.nodes
    async with (
        new_database(url) as database,
        counted(database) as wire,
        AsyncExitStack() as stack,
    ):
        async with open_storage(database, migrate=True) as storage:
            users = [await storage.add_user(f"user{n}", None) for n in range(USERS)]
        administrator = await asyncpg.connect(database)
        stack.push_async_callback(administrator.close)
        began = time.monotonic()
        nodes = [
            await stack.enter_async_context(open_node(wire.url, 2 * each))
            for _ in range(chosen.nodes)
        ]
        print(f"{len(nodes)} nodes began within {time.monotonic() - began:.1f} s")
        bench = Bench(administrator, postmaster, wire, len(nodes), chosen.seconds)
        await bench.report_idle("Without runs")
        began = time.monotonic()
        accepted = [await accept(node, users, each) for node in nodes]
        print(
            f"{len(nodes) * each} prompts were accepted within "
            f"{time.monotonic() - began:.1f} s"
        )
        began = time.monotonic()
        others = [*nodes[1:], nodes[0]]
        pairs = [
            (other, run)
            for other, runs in zip(others, accepted, strict=True)
            for run in runs
        ]
        readers = await follow_all(pairs)
        print(f"All are followed after {time.monotonic() - began:.1f} s", flush=True)
        await bench.report_idle("With runs and readers")
        await bench.report_idle("A minute later", after=60)
        await report_end(administrator, database, each)
        for task in readers:
            task.cancel()
        await asyncio.wait(readers)


async def report_end(
    administrator: asyncpg.Connection, database: str, number: int
) -> None:
    """Kill a node that holds runs, and print how long these have none."""
    command = [sys.executable, "-m", "bench.scale", "--as-node", database]
    process = await asyncio.create_subprocess_exec(
        *command, "--runs", str(number), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    node = (await process.stdout.readline()).decode().strip()
    await asyncio.sleep(QUIET)  # the others have seen its session
    process.kill()
    await process.wait()
    killed_at = time.monotonic()
    count = f"SELECT count(*) FROM runs WHERE owner = $1 AND {UNFINISHED}"

    async def left() -> int:
        found: int = await administrator.fetchval(count, node)
        return found

    assert await left() == number

    async def is_begun() -> bool:
        return await left() < number

    async def is_over() -> bool:
        return not await left()

    await until(is_begun)
    first = time.monotonic() - killed_at
    await until(is_over)
    last = time.monotonic() - killed_at
    print(
        f"Of {number} runs of a node that was killed, the first was without a node for "
        f"{first:.2f} s and the last one for {last:.2f} s"
    )


async def be_node(chosen: argparse.Namespace) -> None:
    """Hold runs until killed."""
    async with open_node(chosen.as_node, 2 * chosen.runs) as node:
        users = await node.storage.list_users()
        await accept(node, users, chosen.runs)
        print(node.engine.node_id, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--runs", type=int, default=10_000, help="of all nodes")
    parser.add_argument("--seconds", type=float, default=30, help="to watch them")
    parser.add_argument("--as-node", metavar="URL", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    allow_many_connections()
    logging.disable()  # each run that is left is a line
    if chosen.as_node:
        asyncio.run(be_node(chosen))
        return
    more = {"max_connections": str(24 * (chosen.nodes + 2))}
    with stoppable_postgres(settings=DURABLE | more) as postgres:
        asyncio.run(measure(chosen, postgres.url))


if __name__ == "__main__":
    main()
