"""
Measure a history that has grown: pages, filters, searches and stats, on SQLite.

    python -m bench.history [--runs 200000] [--users 20] [--rounds 200]

Every figure is the time of one storage method, for one user at a time.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llamakeep.domain import Run, RunStatus, Usage, User, new_id
from llamakeep.keeper.deleting import AT_ONCE
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.filters import RunFilter
from llamakeep.storage.search import read_search
from llamakeep.storage.stats import Grouping

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
VOCABULARY = 50_000
MODELS = ("big", "small", "rare")
BATCH = 256


def words(count: int) -> str:
    """Return words of which a few are frequent and most are rare, as in language."""
    return " ".join(
        f"w{int(VOCABULARY ** random.random())}"  # 1/n of all are the n-th
        for _ in range(count)
    )


def some_run(user: User, at: datetime) -> Run:
    run_id = new_id("run_", at=at)
    has_failed = random.random() < 0.01
    return Run(
        id=run_id,
        user_id=user.id,
        api_key_id=random.choice(("key_1", "key_2", None)),
        status=RunStatus.FAILED if has_failed else RunStatus.SUCCEEDED,
        attempt=1,
        provider="bench",
        model=random.choices(MODELS, (70, 29, 1))[0],
        prompt=words(15),
        response=words(120),
        conversation_id=new_id("conv_", at=at),
        created_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=random.expovariate(1 / 3)),
        usage=Usage(20, 150),
    )


async def fill(storage: Storage, runs: int, users: int) -> Sequence[User]:
    everybody = [await storage.add_user(f"user{n}", None) for n in range(users)]
    step = timedelta(days=200) / runs
    for begin in range(0, runs, BATCH):
        batch = [
            some_run(random.choice(everybody), BEGIN + step * n)
            for n in range(begin, min(begin + BATCH, runs))
        ]
        await asyncio.gather(
            *(storage.accept(run, node=None, lease=0) for run in batch)
        )
    return everybody


async def measure(
    name: str, users: Sequence[User], rounds: int, act: Callable[[User], Awaitable[int]]
) -> None:
    times, found = [], 0
    for _ in range(rounds):
        user = random.choice(users)
        begin = time.perf_counter()
        found += await act(user)
        times.append((time.perf_counter() - begin) * 1000)
    cuts = statistics.quantiles(times, n=100)
    print(f"| {name} | {found / rounds:.0f} | {cuts[49]:.1f} | {cuts[98]:.1f} |")


async def bench(storage: Storage, runs: int, users: int, rounds: int) -> None:
    begin = time.perf_counter()
    everybody = await fill(storage, runs, users)
    print(f"{runs:,} runs of {users} users kept in {time.perf_counter() - begin:.0f} s")
    begin = time.perf_counter()
    while await storage.index_finished():
        pass
    each = (time.perf_counter() - begin) / runs * 1e6
    print(f"indexed in {each:.0f} us each\n\n| what | runs | p50 ms | p99 ms |")
    print("|---|---|---|---|")

    async def page(user: User, matching: RunFilter, **place: str) -> int:
        return len(await storage.history(user, matching=matching, **place))  # type: ignore[arg-type] # only ids

    async def searching(user: User, text: str, sort: str = "newest") -> int:
        matching = RunFilter(search=read_search(text))
        if sort == "best":
            return len(await storage.best_matches(user, matching, limit=50))
        return await page(user, matching)

    def frequent() -> str:
        return f"w{random.randrange(1, 6)}"

    def rare() -> str:
        return f"w{random.randrange(5_000, VOCABULARY)}"

    everything = RunFilter()
    deep = new_id("run_", at=BEGIN + timedelta(days=10))
    january = replace(everything, since=BEGIN, until=BEGIN + timedelta(days=31))
    cases: dict[str, Callable[[User], Awaitable[int]]] = {
        "first page": lambda user: page(user, everything),
        "deep page": lambda user: page(user, everything, before=deep),
        "page of a rare model": lambda user: page(user, RunFilter(model="rare")),
        "page of an API key": lambda user: page(user, RunFilter(api_key_id="key_1")),
        "page of failures": lambda user: page(user, RunFilter(status=RunStatus.FAILED)),
        "page of January": lambda user: page(user, january),
        "search, rare word": lambda user: searching(user, rare()),
        "search, frequent word": lambda user: searching(user, frequent()),
        "search, frequent word, best first": lambda user: searching(
            user, frequent(), "best"
        ),
        "search, phrase": lambda user: searching(user, f'"{frequent()} {frequent()}"'),
        "search, prefix": lambda user: searching(
            user, f"w{random.randrange(10, 100)}*"
        ),
    }

    async def summed_up(user: User, by: Grouping) -> int:
        found = await storage.stats(user, everything, by=by)
        return sum(each.runs for each in found)

    cases["stats by day"] = lambda user: summed_up(user, Grouping.DAY)
    cases["stats by model"] = lambda user: summed_up(user, Grouping.MODEL)

    async def delete(user: User) -> int:
        before = new_id("run_")
        return await storage.delete_runs(user, everything, before=before, limit=AT_ONCE)

    cases["deleting"] = delete
    for name, act in cases.items():
        await measure(name, everybody, rounds, act)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        async with open_storage(f"sqlite:///{path}") as storage:
            await bench(storage, chosen.runs, chosen.users, chosen.rounds)
            size = path.stat().st_size / 1e6
        print(f"\n{size:.0f} MB on the disk")


if __name__ == "__main__":
    asyncio.run(main())
