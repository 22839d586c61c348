"""
Measure a history that has grown: pages, filters, searches, stats, and keeping more.

    python -m bench.history [--runs 1000000] [--users 100] [--rounds 300]
        [--database URL] [--cold] [--largest]

Every figure is the time of one storage method, for one user at a time. The first of
several users has a tenth of all runs, the others share the rest; they are measured, or
that one (`--largest`). In `--database` the runs stay, to be used again by the next one.
CPU time is that of the process: what is left where others use the machine as well.
`--cold` takes a SQLite file out of the system's memory before each act.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from bench.filling import BEGIN, DAYS, PROJECTS, VOCABULARY, fill, some_run
from llamakeep.domain import RunStatus, User, new_id, utc_now
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.filters import EVERYTHING, RunFilter
from llamakeep.storage.search import read_search
from llamakeep.storage.stats import Grouping

Act = Callable[[User], Awaitable[int]]
"""Something that is measured; it returns how many runs it was about."""


def frequent() -> str:
    return f"w{random.randrange(1, 6)}"


def rare() -> str:
    return f"w{random.randrange(5_000, VOCABULARY)}"


class Cases:
    """What is measured."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def page(self, user: User, matching: RunFilter, place: float = 1) -> int:
        before = new_id("run_", at=BEGIN + timedelta(days=DAYS * place + 1))
        return len(await self._storage.history(user, matching=matching, before=before))

    async def search(self, user: User, text: str) -> int:
        return await self.page(user, RunFilter(search=read_search(text)))

    async def best(self, user: User, text: str) -> int:
        matching = RunFilter(search=read_search(text))
        return len(await self._storage.best_matches(user, matching, limit=50))

    async def by_id(self, user: User) -> int:
        await self._storage.get_run(user, random.choice(self._known[user.id]))
        return 1

    async def conversations(self, user: User) -> int:
        return len((await self._storage.conversations(user)).conversations)

    async def keep(self, user: User) -> int:
        over = some_run(user, utc_now(), new_id("conv_"))
        asked = replace(over, status=RunStatus.STARTING, response="", finished_at=None)
        await self._storage.accept(asked, node="bench", lease=30)
        await self._storage.finish(over)
        return 1

    async def stats(self, user: User, by: Grouping) -> int:
        found = await self._storage.stats(user, EVERYTHING, by=by)
        return sum(each.runs for each in found)

    async def prepare(self, users: Sequence[User]) -> None:
        self._known = {
            user.id: [run.id for run in await self._storage.history(user, limit=2000)]
            for user in users
        }

    def all(self) -> dict[str, Act]:
        """Return them by name, in the order in which they are measured."""
        month = RunFilter(since=BEGIN, until=BEGIN + timedelta(days=31))
        project = RunFilter(tags=(f"project:p{PROJECTS - 1}",))
        filters = {
            "month": month,
            "rare model": RunFilter(model="rare"),
            "API key": RunFilter(api_key_id="key_1"),
            "failures": RunFilter(status=RunStatus.FAILED),
            "tag": project,
        }
        return {
            "first page": lambda user: self.page(user, EVERYTHING),
            "deep page": lambda user: self.page(user, EVERYTHING, 0.05),
            **{
                f"page of a filter: {name}": self._page_of(matching)
                for name, matching in filters.items()
            },
            "conversations": self.conversations,
            "one run": self.by_id,
            "search, rare word": lambda user: self.search(user, rare()),
            "search, frequent word": lambda user: self.search(user, frequent()),
            "search, both": lambda user: self.search(user, f"{rare()} {frequent()}"),
            "search, frequent word, best first": lambda user: self.best(
                user, frequent()
            ),
            "search, phrase": lambda user: self.search(
                user, f'"{frequent()} {frequent()}"'
            ),
            "search, prefix of a thousand words": lambda user: self.search(
                user, f"w{random.randrange(10, 100)}*"
            ),
            "stats by day": lambda user: self.stats(user, Grouping.DAY),
            "stats by model": lambda user: self.stats(user, Grouping.MODEL),
            "accept and finish": self.keep,
        }

    def _page_of(self, matching: RunFilter) -> Act:
        return lambda user: self.page(user, matching)


async def measure(
    name: str, users: Sequence[User], rounds: int, act: Act, cool: Callable[[], None]
) -> None:
    times, cpu, found = [], [], 0
    for _ in range(rounds):
        user = random.choice(users)
        cool()
        begin, worked = time.perf_counter(), time.process_time()
        found += await act(user)
        cpu.append((time.process_time() - worked) * 1000)
        times.append((time.perf_counter() - begin) * 1000)
    cuts = statistics.quantiles(times, n=100)
    busy = statistics.quantiles(cpu, n=100)
    print(
        f"| {name} | {found / rounds:.0f} | {cuts[49]:.2f} | {cuts[98]:.2f} "
        f"| {busy[49]:.2f} | {busy[98]:.2f} |"
    )


async def bench(storage: Storage, chosen: argparse.Namespace, url: str) -> None:
    everybody = sorted(await storage.list_users(), key=lambda user: user.id)
    if not everybody:
        begin = time.perf_counter()
        everybody = list(await fill(storage, chosen.runs, chosen.users))
        print(f"filled in {time.perf_counter() - begin:.0f} s")
    users = everybody[:1] if chosen.largest else everybody[1:] or everybody
    cases = Cases(storage)
    await cases.prepare(users)
    print("\n| what | runs | p50 ms | p99 ms | CPU p50 ms | CPU p99 ms |")
    print("|---|---|---|---|---|---|")
    for name, act in cases.all().items():
        if chosen.only in name:
            cool = cooler(url) if chosen.cold else lambda: None
            await measure(name, users, chosen.rounds, act, cool)


def cooler(url: str) -> Callable[[], None]:
    """Return what takes a file out of the memory of the operating system."""

    def cool() -> None:
        file = os.open(url.removeprefix("sqlite:///"), os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    return cool


@contextmanager
def database(chosen: str | None) -> Iterator[str]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/history.db"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--database")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--largest", action="store_true")
    chosen = parser.parse_args()
    with database(chosen.database) as url:
        async with open_storage(url, migrate=True) as storage:
            await bench(storage, chosen, url)


if __name__ == "__main__":
    asyncio.run(main())
