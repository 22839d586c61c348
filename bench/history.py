"""
Measure a history that has grown: pages, filters, searches, stats, and keeping more.

    python -m bench.history [--runs 1000000] [--users 100] [--rounds 300]
        [--database URL ...] [--only NAME] [--cold] [--largest]

Every figure is the time of one storage method, for one user at a time. The first of
several users has a tenth of all runs, the others share the rest; they are measured, or
that one (`--largest`). In `--database` the runs stay, to be used again by the next one;
of several, each act is done on one after the other, and the last column is the ratio of
the medians to the first one's. CPU time is that of the process: what is left where
others use the machine as well. `--cold` takes a SQLite file out of the system's memory
before each act.
"""

import argparse
import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy.engine import make_url

from bench.filling import BEGIN, DAYS, PROJECTS, VOCABULARY, fill, some_run
from llamakeep.domain import UNFINISHED, RunStatus, User, new_id, utc_now
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.history.filters import EVERYTHING, RunFilter
from llamakeep.storage.history.search import read_search
from llamakeep.storage.history.stats import Grouping

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

    async def search(self, user: User, text: str, place: float = 1) -> int:
        return await self.page(user, RunFilter(search=read_search(text)), place)

    async def best(self, user: User, text: str) -> int:
        matching = RunFilter(search=read_search(text))
        return len(await self._storage.best_matches(user, matching, limit=50))

    async def by_id(self, user: User) -> int:
        await self._storage.get_run(user, random.choice(self.known[user.id]))
        return 1

    async def conversations(self, user: User) -> int:
        return len((await self._storage.conversations(user)).conversations)

    async def keep(self, user: User) -> int:
        over = some_run(user, utc_now(), new_id("conv_"))
        asked = replace(over, status=RunStatus.STARTING, response="", finished_at=None)
        await self._storage.accept(asked, node="bench")
        await self._storage.finish(over)
        return 1

    async def stats(self, user: User, by: Grouping) -> int:
        found, _ = await self._storage.stats(user, EVERYTHING, by=[by])
        return sum(each.runs for each in found)

    async def prepare(self, users: Sequence[User]) -> None:
        self.known = {
            user.id: [run.id for run in await self._storage.history(user, limit=2000)]
            for user in users
        }
        """By user: the newest runs."""

    def all(self) -> dict[str, Act]:
        """Return them by name, in the order in which they are measured."""
        month = RunFilter(since=BEGIN, until=BEGIN + timedelta(days=31))
        project = RunFilter(tags=(f"project:p{PROJECTS - 1}",))
        filters = {
            "month": month,
            "rare model": RunFilter(model="rare"),
            "API key": RunFilter(api_key_id="key_1"),
            "failures": RunFilter(statuses={RunStatus.FAILED}),
            "unfinished": RunFilter(statuses=UNFINISHED),
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


@dataclass(frozen=True, slots=True)
class Measured:
    """A database, whose histories are read there, and what its acts took."""

    name: str
    acts: dict[str, Act]
    users: Sequence[User]
    cool: Callable[[], None]
    times: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    found: list[int] = field(default_factory=list)

    async def act(self, name: str) -> None:
        user = random.choice(self.users)
        self.cool()
        begin, worked = time.perf_counter(), time.process_time()
        self.found.append(await self.acts[name](user))
        self.cpu.append((time.process_time() - worked) * 1000)
        self.times.append((time.perf_counter() - begin) * 1000)

    def told(self, first: "Measured") -> str:
        cells = [f"{statistics.mean(self.found):.0f}"]
        for figures in (self.times, self.cpu):
            cuts = statistics.quantiles(figures, n=100)
            cells += [f"{cuts[49]:.2f}", f"{cuts[98]:.2f}"]
        beside = statistics.median(self.times) / statistics.median(first.times)
        return " | ".join([self.name, *cells, f"{beside:.2f}"])

    def forget(self) -> None:
        for each in (self.times, self.cpu, self.found):
            each.clear()


async def opened(
    storage: Storage, name: str, url: str, chosen: argparse.Namespace
) -> Measured:
    everybody = sorted(await storage.list_users(), key=lambda user: user.id)
    if not everybody:
        begin = time.perf_counter()
        everybody = list(await fill(storage, chosen.runs, chosen.users))
        print(f"filled in {time.perf_counter() - begin:.0f} s")
    users = everybody[:1] if chosen.largest else everybody[1:] or everybody
    cases = Cases(storage)
    await cases.prepare(users)
    cool = cooler(url) if chosen.cold else lambda: None
    return Measured(name, cases.all(), users, cool)


async def bench(databases: Sequence[Measured], only: str, rounds: int) -> None:
    print("\n| what | database | runs | p50 ms | p99 ms | CPU p50 | CPU p99 | beside |")
    print("|---|---|---|---|---|---|---|---|")
    for name in databases[0].acts:
        if only not in name:
            continue
        for _ in range(rounds):
            for database in databases:
                await database.act(name)
        for database in databases:
            print(f"| {name} | {database.told(databases[0])} |", flush=True)
        for database in databases:
            database.forget()


def cooler(url: str) -> Callable[[], None]:
    """Return what takes a file out of the memory of the operating system."""

    def cool() -> None:
        file = os.open(url.removeprefix("sqlite:///"), os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    return cool


@contextmanager
def given(chosen: Sequence[str]) -> Iterator[Sequence[str]]:
    if chosen:
        yield chosen
        return
    with tempfile.TemporaryDirectory() as folder:
        yield [f"sqlite:///{folder}/history.db"]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--database", nargs="+", default=[], metavar="URL")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--largest", action="store_true")
    chosen = parser.parse_args()
    with given(chosen.database) as urls:
        async with AsyncExitStack() as stack:
            databases = []
            for url in urls:
                storage = await stack.enter_async_context(
                    open_storage(url, migrate=True)
                )
                name = make_url(url).database or url
                databases.append(await opened(storage, name, url, chosen))
            # As the server does.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 20, 20)
            await bench(databases, chosen.only, chosen.rounds)


if __name__ == "__main__":
    asyncio.run(main())
