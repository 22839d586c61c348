"""
Measure PostgreSQL with millions of runs of users who have few, many and very many.

    python -m bench.large_history URL [--runs 10000000] [--rounds 300] [--only NAME]
        [--prompts] [--whole]

Every figure is the time of one storage method, as in `bench.history`, of some users of
about the same size. CPU time is that of this process and of PostgreSQL's for its
connections. An empty database is filled first: see `bench.generating`. After that comes
what 64 clients at once take for a prompt (`--prompts`), beside an empty database on the
same server, and what is done to a user of the largest size as a whole (`--whole`): an
export, and the deletion.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import asyncpg
from sqlalchemy import make_url

from bench.filling import some_run
from bench.generating import CLASSES, SIGNS, generate
from bench.history import Act, Cases, Measured, bench, frequent, rare
from bench.usage import cpu_seconds, family
from bench.workers import find
from llamakeep.deletion.users import purge_one
from llamakeep.domain import Actor, RunStatus, User, new_id, utc_now
from llamakeep.storage import Storage, open_storage
from tests.postgres import new_database

SAMPLE = 20
"""Users of each size."""
PAGE = 100
"""Runs that an export reads at a time."""
CLIENTS = 64
SECONDS = 10.0


def chinese() -> str:
    """Return a word of two characters, each as frequent as in the texts."""
    return "".join(chr(19968 + int(SIGNS ** random.random())) for _ in range(2))


class WithPostgres(Measured):
    """What acts took, with the CPU time that PostgreSQL needed for them."""

    postmaster = 0
    pids: Sequence[int] = ()

    async def act(self, name: str) -> None:
        """Do one."""
        if len(self.cpu) <= 1:  # the first one may open a connection
            WithPostgres.pids = family(self.postmaster)
        before = self._spent()
        await super().act(name)
        self.cpu[-1] += 1000 * (self._spent() - before)

    def _spent(self) -> float:
        total = 0.0
        for pid in WithPostgres.pids:
            with suppress(OSError):  # it has ended
                total += cpu_seconds(pid)
        return total


class LargeCases(Cases):
    """What is measured; searches are read as users type them."""

    def all(self) -> dict[str, Act]:
        """Return them by name, in the order in which they are measured."""
        return super().all() | {
            "search, two rare words": lambda user: self.search(
                user, f"{rare()} {rare()}"
            ),
            "search, two frequent words": lambda user: self.search(
                user, f"{frequent()} {frequent()}"
            ),
            "search, Chinese word": lambda user: self.search(user, chinese()),
            "search, rare word, deep page": lambda user: self.search(
                user, rare(), 0.05
            ),
            "search, frequent word, deep page": lambda user: self.search(
                user, frequent(), 0.05
            ),
        }


async def users_of(storage: Storage, size: int) -> Sequence[User]:
    prefix = f"of_{size}_"
    found = [u for u in await storage.list_users() if u.username.startswith(prefix)]
    return random.sample(found, min(SAMPLE, len(found)))


async def measure(storage: Storage, chosen: argparse.Namespace) -> None:
    groups = []
    for size, _ in CLASSES:
        users = await users_of(storage, size)
        cases = LargeCases(storage)
        await cases.prepare(users)
        with_runs = [user for user in users if cases.known[user.id]]
        name = f"about {size:,} runs"
        groups.append(WithPostgres(name, cases.all(), with_runs, lambda: None))
    WithPostgres.postmaster = int(
        find("-o", "-f", f"postgres .*-p {make_url(chosen.url).port}")
    )
    await bench(groups, chosen.only, chosen.rounds)


async def report_prompts(url: str) -> None:
    """Print what prompts of many clients take here, and in an empty database."""
    postmaster = find("-o", "-f", f"postgres .*-p {make_url(url).port}")
    print(
        "\n| database | prompts/s | CPU ms: node | CPU ms: PostgreSQL | WAL kB "
        "| end p50 ms | p99 ms | at most |\n|---|---|---|---|---|---|---|---|"
    )
    async with new_database(url) as empty:
        async with open_storage(empty, migrate=True):
            pass
        for name, each in (("empty", empty), ("large", url)) * 3:
            async with open_storage(each) as storage:
                users = await users_of(storage, CLASSES[1][0])
                if not users:
                    users = [await storage.add_user(new_id("u"), None)]
                figures = await prompts(each, storage, users, int(postmaster))
            cells = " | ".join(f"{figure:,.2f}" for figure in figures)
            print(f"| {name} | {cells} |", flush=True)


async def prompts(
    url: str, storage: Storage, users: Sequence[User], postmaster: int
) -> Sequence[float]:
    times: list[float] = []
    until = time.monotonic() + SECONDS

    async def ask() -> None:
        while time.monotonic() < until:
            over = some_run(random.choice(users), utc_now(), new_id("conv_"))
            asked = replace(
                over, status=RunStatus.STARTING, response="", finished_at=None
            )
            await storage.accept(asked, node="bench")
            began = time.perf_counter()
            await storage.finish(over)
            times.append(1000 * (time.perf_counter() - began))

    administrator = await asyncpg.connect(url)
    wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
    logged = await administrator.fetchval(wal)
    postgres = sum(map(cpu_seconds, family(postmaster)))
    began, own = time.monotonic(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    took, own = time.monotonic() - began, time.process_time() - own
    postgres = sum(map(cpu_seconds, family(postmaster))) - postgres
    logged = await administrator.fetchval(wal) - logged
    await administrator.close()
    count, cuts = len(times), statistics.quantiles(times, n=100)
    each = (1000 * own / count, 1000 * postgres / count, logged / 1000 / count)
    return [count / took, *each, cuts[49], cuts[98], max(times)]


async def report_whole(storage: Storage) -> None:
    """Export and delete a user of the largest size, and print how long that takes."""
    user = random.choice(await users_of(storage, CLASSES[0][0]))
    began, count, after, longest = time.monotonic(), 0, None, 0.0
    while True:
        asked = time.monotonic()
        page = await storage.history(
            user, after=after, oldest_first=True, limit=PAGE, is_page=True
        )
        longest = max(longest, time.monotonic() - asked)
        if not page:
            break
        count, after = count + len(page), page[-1].id
    took = time.monotonic() - began
    print(
        f"\nReading all {count:,} runs of a user took {took:.1f} s, and a page "
        f"{1000 * longest:.0f} ms at most"
    )
    began = time.monotonic()
    await storage.delete_user(user.id, actor=Actor())
    marked = time.monotonic() - began
    await purge_one(storage, user)
    print(
        f"The user was deleted for all to see in {1000 * marked:.0f} ms, and the runs "
        f"were gone after {time.monotonic() - began:.1f} s"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of a PostgreSQL database")
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--prompts", action="store_true")
    parser.add_argument("--whole", action="store_true")
    chosen = parser.parse_args()
    async with open_storage(chosen.url, migrate=True) as storage:
        if not await storage.list_users():
            await generate(chosen.url, chosen.runs)
        await measure(storage, chosen)
        if chosen.whole:
            await report_whole(storage)
    if chosen.prompts:
        await report_prompts(chosen.url)


if __name__ == "__main__":
    asyncio.run(main())
