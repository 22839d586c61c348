"""
Measure nodes on one PostgreSQL database: what a prompt, an idle node and an end cost.

    python -m bench.nodes [--nodes 3] [--seconds 4] [--rounds 3] [--ends 5]
        [--pooler session|transaction]

PostgreSQL has fsync on. It shares the cores with the nodes, the load and a provider
that answers at once, so CPU time is reported beside requests. Round trips are counted
in bursts of their own, through a proxy. With a pooler, which is pgbouncer, its CPU time
is not counted.
"""

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
from sqlalchemy import make_url

from bench.load import Target, load
from bench.processes import call, free_port, process
from bench.upstream import Manner, behave
from bench.usage import cpu_seconds, family
from bench.workers import find, server
from llamakeep.storage import open_storage
from tests.pgbouncer import running_pgbouncer
from tests.postgres import new_database, stoppable_postgres
from tests.waiting import until
from tests.wire import Wire, counted

DURABLE = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on"}
CLIENTS = (1, 16, 64)
PROMPT = {"prompt": "What is FastAPI and why is it useful?"}
LOGIN = {"authorization": "Bearer token_alice"}
QUIET = 5.0
"""Seconds until nodes that were started, or were busy, are idle."""
IDLE = 20.0
"""Seconds for which idle nodes are watched."""
POOLED = 90
"""Connections that a pooler may have."""
AT_ONCE = 0.05
"""Seconds that a look at the load may be off."""


@dataclass(frozen=True, slots=True)
class Node:
    port: int
    pid: int

    @property
    def target(self) -> Target:
        return Target(self.port, "/prompt/", PROMPT, LOGIN)


class Spent(NamedTuple):
    """What was spent until some moment."""

    nodes: float
    """Seconds of CPU."""
    postgres: float
    commits: int
    """Transactions that wrote something."""
    wal: int
    """Bytes."""
    round_trips: int


@dataclass
class Bench:
    connection: asyncpg.Connection
    postmaster: int
    wire: Wire

    async def spent(self, *nodes: Node) -> Spent:
        commits, wal = await self.connection.fetchrow(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
        )
        return Spent(
            sum(cpu_seconds(node.pid) for node in nodes),
            sum(map(cpu_seconds, family(self.postmaster))),
            commits,
            wal,
            self.wire.round_trips,
        )

    async def burst(self, node: Node, clients: int, seconds: float) -> list[float]:
        """Return requests/s and milliseconds, and what each request cost."""
        before = await self.spent(node)
        found = await load(node.target, clients=clients, seconds=seconds)
        await asyncio.sleep(AT_ONCE)
        after = await self.spent(node)
        if found.failures:
            print(f"{found.failures} of {found.requests} requests failed")
        each = differences(before, after, found.requests)
        return [found.per_second, found.percentile(0.5), *each]

    async def idle(self, *nodes: Node) -> list[float]:
        """Return the connections of an idle node, and what it costs in a second."""
        await asyncio.sleep(QUIET)
        before, began = await self.spent(*nodes), time.monotonic()
        await asyncio.sleep(IDLE)
        after, seconds = await self.spent(*nodes), time.monotonic() - began
        connections = await self.connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        each = differences(before, after, seconds * len(nodes))
        return [connections / len(nodes), *each]

    async def noticed(self, node: Node, how: signal.Signals) -> float:
        """Return for how many seconds a run is without a node when its one ends."""
        body = PROMPT | {"background": True}
        run = await asyncio.to_thread(call, node.port, "/prompt/", body, **LOGIN)
        owner = "SELECT owner FROM runs WHERE id = $1"
        before = await self.connection.fetchval(owner, run["id"])

        async def is_taken() -> bool:
            found = await self.connection.fetchval(owner, run["id"])
            return bool(found != before)

        await asyncio.sleep(QUIET / 2)  # the others have seen its session
        os.kill(node.pid, how)
        await until(lambda: not _is_there(node.pid))
        ended_at = time.monotonic()
        await until(is_taken)
        return time.monotonic() - ended_at


def _is_there(pid: int) -> bool:
    """Return whether a child of this process has not ended."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def differences(before: Spent, after: Spent, number: float) -> list[float]:
    return [(late - early) / number for early, late in zip(before, after, strict=True)]


async def measure(
    arguments: argparse.Namespace, url: str, pooled_url: str, folder: str
) -> None:
    pattern = f"postgres .*-p {make_url(url).port}"
    postmaster = int(await asyncio.to_thread(find, "-o", "-f", pattern))
    async with new_database(url) as direct_url:
        async with open_storage(direct_url, migrate=True):
            pass
        connection = await asyncpg.connect(direct_url)
        database = f"{pooled_url.rpartition('/')[0]}/{direct_url.rpartition('/')[2]}"
        async with counted(database) as wire:
            bench = Bench(connection, postmaster, wire)
            await measure_nodes(arguments, bench, database, folder)
        await connection.close()


async def measure_nodes(
    arguments: argparse.Namespace, bench: Bench, database: str, folder: str
) -> None:
    with ExitStack() as stack:
        upstream = free_port()
        stack.enter_context(process("bench.upstream", upstream, folder=folder))
        # The last one is measured without the proxy.
        urls = [bench.wire.url] * arguments.nodes + [database]
        more = {"LLAMAKEEP_SHUTDOWN_GRACE": "0"}
        nodes = []
        for each in urls[:-1]:
            serving = server(1, each, upstream, more)
            nodes.append(Node(*await enter(stack, serving)))
        report_idle(await bench.idle(*nodes), arguments.nodes)
        direct = Node(*await enter(stack, server(1, urls[-1], upstream, more)))
        await bench.burst(direct, 8, 1)  # warm up
        await report_prompts(bench, direct, nodes[0], arguments)
        await asyncio.to_thread(behave, upstream, Manner(first=3 * QUIET))
        for how in (signal.SIGKILL, signal.SIGTERM) if arguments.ends else ():
            times = []
            for _ in range(arguments.ends):
                with ExitStack() as ended:
                    serving = server(1, database, upstream, more)
                    node = Node(*await enter(ended, serving))
                    times.append(await bench.noticed(node, how))
            report_ends(how, times)


async def enter(
    stack: ExitStack, serving: AbstractContextManager[tuple[int, int]]
) -> tuple[int, int]:
    return await asyncio.to_thread(stack.enter_context, serving)


async def report_prompts(
    bench: Bench, node: Node, behind: Node, arguments: argparse.Namespace
) -> None:
    print(
        "| clients | requests/s | p50 ms | CPU ms: node | CPU ms: PostgreSQL "
        "| commits | WAL kB | round trips |\n|---|---|---|---|---|---|---|---|"
    )
    for clients in CLIENTS:
        rounds = []
        for _ in range(arguments.rounds):
            found = await bench.burst(node, clients, arguments.seconds)
            through = await bench.burst(behind, clients, arguments.seconds)
            rounds.append([*found[:-1], through[-1]])
        per_second, p50, cpu, postgres, commits, wal, trips = middle(rounds)
        print(
            f"| {clients} | {per_second:,.0f} | {p50:.1f} | {1000 * cpu:.2f} "
            f"| {1000 * postgres:.2f} | {commits:.2f} | {wal / 1000:.1f} "
            f"| {trips:.2f} |"
        )


def report_idle(found: Sequence[float], nodes: int) -> None:
    connections, cpu, postgres, commits, wal, round_trips = found
    print(
        f"Each of {nodes} idle nodes: {connections:.1f} connections, and a second "
        f"{round_trips:.2f} round trips, {commits:.2f} commits, {wal:,.0f} bytes of "
        f"WAL, {1000 * cpu:.1f} ms of CPU and {1000 * postgres:.1f} ms of "
        "PostgreSQL's\n"
    )


def report_ends(how: signal.Signals, times: Sequence[float]) -> None:
    print(
        f"\nA run is without a node for {statistics.median(times):.2f} s after "
        f"{how.name}, {min(times):.2f} to {max(times):.2f} of {len(times)} times"
    )


def middle(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(values) for values in zip(*rounds, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3, help="idle ones")
    parser.add_argument("--seconds", type=float, default=4, help="for each burst")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ends", type=int, default=5, help="of either kind")
    parser.add_argument("--pooler", choices=["session", "transaction"])
    arguments = parser.parse_args()
    with (
        stoppable_postgres(settings=DURABLE) as postgres,
        running_pgbouncer(postgres.url, arguments.pooler, size=POOLED)
        if arguments.pooler
        else nullcontext(postgres.url) as pooled_url,
        tempfile.TemporaryDirectory() as folder,
    ):
        asyncio.run(measure(arguments, postgres.url, pooled_url, folder))


if __name__ == "__main__":
    main()
