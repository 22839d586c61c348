"""How fast a history is read and searched, by HTTP, small and large."""

import asyncio
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from bench.cores import run
from bench.filling import BEGIN, DAYS, PROJECTS, fill
from bench.history import frequent, rare
from bench.load import Load, Target, load
from bench.options import Options
from bench.processes import Running, free_port, process
from bench.report import Cell, Section, Table, median, ratio
from bench.usage import cpu_seconds
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User, new_id
from llamakeep.storage import Storage, open_storage

RUNS = 10_000
SMALL = f"{RUNS:,} runs"
VARIETY = 40
"""Requests of each kind, which take turns: not all of them read the same rows."""
CROWD = 16

METHOD = f"""\
By HTTP, as a client sees it. "{SMALL}" are one user's, with nobody else's beside them;
each has 15 words of prompt and 120 of response. p50, p99 and CPU are one client's;
requests/s are those of {CROWD} clients on one core. Of a database that was given, that
is another user's who has as many runs as most, and the largest one's."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who reads, and where."""

    name: str
    server: Running
    access_token: str
    run_ids: Sequence[str]
    """Some of theirs."""

    def target(self, path: str) -> Target:
        login = {"authorization": f"Bearer {self.access_token}"}
        return Target(self.server.port, path, headers=login)

    def cases(self) -> dict[str, list[Target]]:
        deep = [
            new_id("run_", at=BEGIN + timedelta(days=DAYS * random.uniform(0.05, 0.1)))
            for _ in range(VARIETY)
        ]
        words = range(VARIETY)
        searches = {
            "search, rare word": [rare() for _ in words],
            "search, frequent word": [frequent() for _ in words],
            "search, both": [f"{rare()} {frequent()}" for _ in words],
            "search, phrase": [f'"{frequent()} {frequent()}"' for _ in words],
            "search, beginning": [f"w{random.randrange(10, 100)}*" for _ in words],
        }
        best = [f"/history/?sort=best&q={frequent()}" for _ in words]
        paths = {
            "first page": ["/history/"],
            "deep page": [f"/history/?cursor={run_id}" for run_id in deep],
            "page of a tag": [f"/history/?tag=project%3Ap{PROJECTS - 1}"],
            "conversations": ["/conversations/"],
            "one run": [f"/history/{run_id}" for run_id in self.run_ids],
            **{
                name: [f"/history/?q={quote(text)}" for text in texts]
                for name, texts in searches.items()
            },
            "search, best first": best,
            "stats by day": ["/history/stats?by=day"],
        }
        return {name: [self.target(p) for p in some] for name, some in paths.items()}


@dataclass(frozen=True, slots=True)
class Reading:
    """One case, for one reader, in one round."""

    alone: Load
    cpu: float
    """Milliseconds for each request."""
    crowd: Load


Found = dict[tuple[str, str], list[Reading]]


def measure(options: Options) -> Section:
    random.seed(1)
    found: Found = defaultdict(list)
    with ExitStack() as stack:
        readers = stack.enter_context(small())
        if options.database is not None:
            readers += stack.enter_context(given(options.database))
        for _ in range(options.rounds):
            cases = [(reader.name, reader.cases(), reader.server) for reader in readers]
            for case in cases[0][1]:
                for name, targets, server in cases:
                    reading = read(targets[case], server, options.seconds / 5)
                    found[case, name].append(reading)
    names = [reader.name for reader in readers]
    return Section("History", METHOD, ratios(found, names), [details(found)])


def read(targets: list[Target], server: Running, seconds: float) -> Reading:
    run(load(*targets, clients=1, seconds=0))  # warm up
    cpu = cpu_seconds(server.pid)
    alone = run(load(*targets, clients=1, seconds=seconds))
    cpu = cpu_seconds(server.pid) - cpu
    crowd = run(load(*targets, clients=CROWD, seconds=seconds))
    return Reading(alone, cpu * 1000 / alone.requests, crowd)


@contextmanager
def small() -> Iterator[list[Reader]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.db"
        asyncio.run(make(file))
        with served(file, [SMALL]) as readers:
            yield readers


async def make(file: Path) -> None:
    async with open_storage(f"sqlite:///{file}") as storage:
        await fill(storage, RUNS, users=1)


@contextmanager
def given(file: Path) -> Iterator[list[Reader]]:
    """Serve a copy: what is measured writes, too."""
    with tempfile.TemporaryDirectory(dir=file.absolute().parent) as folder:
        copy = shutil.copyfile(file, Path(folder) / "given.db")
        with served(copy, ["given: largest user", "given: another"]) as readers:
            yield readers[::-1]


@contextmanager
def served(file: Path, names: list[str]) -> Iterator[list[Reader]]:
    """Serve a history to its first users, who get the names."""
    known = asyncio.run(let_in(file, len(names)))
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    with process(
        "bench.server", free_port(), nobody, str(file), folder=str(file.parent)
    ) as server:
        yield [
            Reader(name, server, *each) for name, each in zip(names, known, strict=True)
        ]


async def let_in(file: Path, users: int) -> list[tuple[str, list[str]]]:
    """Return access tokens of the first users, and some of their runs."""
    async with open_storage(f"sqlite:///{file}") as storage:
        everybody = sorted(await storage.list_users(), key=lambda user: user.id)
        return [
            (await log_in(storage, u), await some(storage, u))
            for u in everybody[:users]
        ]


async def log_in(storage: Storage, user: User) -> str:
    access_token = new_access_token()
    day = timedelta(days=1)
    await storage.add_access_token(user, digest(access_token), lifetime=day)
    return access_token


async def some(storage: Storage, user: User) -> list[str]:
    runs = await storage.history(user, limit=2000)
    return [each.id for each in random.sample(list(runs), min(VARIETY, len(runs)))]


def ratios(found: Found, names: list[str]) -> list[Table]:
    """Return what the runs of others cost, where there are others."""
    alone, *others = names
    if not others:
        return []
    rows: list[list[Cell]] = [
        [
            case,
            *(
                ratio((x.cpu for x in found[case, name]), (x.cpu for x in readings))
                for name in others
            ),
        ]
        for (case, reader), readings in found.items()
        if reader == alone
    ]
    return [Table(f"History: CPU beside {alone} alone", ["", *others], rows)]


def details(found: Found) -> Table:
    head = ["what", "whose", "p50 ms", "p99 ms", "CPU ms", "requests/s", "failures"]
    rows: list[list[Cell]] = [
        [
            case,
            name,
            median(x.alone.percentile(0.5) for x in readings),
            median(x.alone.percentile(0.99) for x in readings),
            median(x.cpu for x in readings),
            median(x.crowd.per_second for x in readings),
            sum(x.alone.failures + x.crowd.failures for x in readings),
        ]
        for (case, name), readings in found.items()
    ]
    return Table("History", head, rows)
