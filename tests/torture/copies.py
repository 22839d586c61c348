"""Copies from SQLite to PostgreSQL and back that are killed, and continued."""

import asyncio
import logging
import random
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from sqlite3 import OperationalError, connect

import asyncpg

from llamakeep.domain import Image, Run, RunStatus, User, new_id
from llamakeep.storage import open_storage
from tests.images import image, png
from tests.torture.checker import Verdict
from tests.torture.commands import failure_of, start_command
from tests.torture.scenarios import Outcome

AT_ONCE = 1000
"""Runs that are imported in one transaction."""
WITH_IMAGE = 20
"""One run in so many shows an image that no other one does."""
IMAGE_SIZE = 40_000
"""Bytes behind the image's head, which nothing can make smaller."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


async def copy_there_and_back(
    folder: Path, postgres_url: str, *, runs: int, kills: int
) -> Outcome:
    """
    Copy a SQLite file to PostgreSQL, and that to another file, and compare the files.

    Args:
        folder: For the files.
        postgres_url: A database without tables.
        runs: How many there are.
        kills: How often each of the two copies is killed, and begun again.
    """
    first, last = folder / "first.db", folder / "last.db"
    await _fill(f"sqlite:///{first}", runs)
    size = await asyncio.to_thread(lambda: first.stat().st_size)
    steps: list[tuple[str, str, Callable[[], Awaitable[int]]]] = [
        (f"sqlite:///{first}", postgres_url, lambda: _count_server(postgres_url)),
        (postgres_url, f"sqlite:///{last}", lambda: asyncio.to_thread(_count, last)),
    ]
    outcome = Outcome(is_timed=False, verdict=Verdict(prompts=runs))
    for source, target, count in steps:
        command, began = ("copy", source, target), time.monotonic()
        for number in range(kills):
            most = runs * (number + 1) // (kills + 1)
            process = await start_command(folder, *command, database_url=source)
            outcome.done["kills"] += await _kill_when(process, count, most)
        process = await start_command(folder, *command, database_url=source)
        if (failure := await failure_of(process)) is not None:
            outcome.verdict.unclean.append(f"a copy failed: {failure}")
            return outcome
        outcome.done["copies"] += 1
        log.info(
            "%d runs, %.0f MB, copied to %s in %.1f s with %d kills",
            runs,
            size / 1e6,
            target.partition(":")[0],
            time.monotonic() - began,
            kills,
        )
    outcome.verdict.lost += await asyncio.to_thread(_missing, first, last)
    outcome.verdict.wrong += await asyncio.to_thread(_missing, last, first)
    return outcome


async def _kill_when(
    process: Process, count: Callable[[], Awaitable[int]], most: int
) -> bool:
    """Kill a copy when so many runs are there; return whether it was still going on."""
    ending = asyncio.create_task(failure_of(process))
    while not ending.done():
        if await count() >= most:
            break
        await asyncio.sleep(most / 100_000)  # counting many takes long
    is_killed = not ending.done()
    if is_killed:
        process.kill()
    failure = await ending
    assert is_killed or failure is None, failure
    return is_killed


async def _fill(url: str, count: int) -> None:
    async with open_storage(url) as storage:
        users = [await storage.add_user(name, "a hash") for name in ("alice", "bob")]
        for user in users:
            made = _made_up(user, count // 2)
            while some := list(islice(made, AT_ONCE)):
                await storage.import_runs(user, some)


def _made_up(user: User, count: int) -> Iterator[Run]:
    conversation_id = ""
    for number in range(count):
        at = BEGIN + timedelta(seconds=number)
        if number % 5 == 0:
            conversation_id = new_id("conv_", at=at)
        images: tuple[Image, ...] = ()
        if number % WITH_IMAGE == 0:
            head = png(of=random.getrandbits(64))
            images = (image(head + random.randbytes(IMAGE_SIZE)),)
        yield Run(
            id=new_id("run_", at=at),
            user_id=user.id,
            status=RunStatus.SUCCEEDED,
            attempt=1,
            provider="replicate",
            model="meta/llama",
            prompt=f"Why {number}? \N{LLAMA} {random.getrandbits(256):x}",
            response=" ".join(f"w{random.getrandbits(16)}" for _ in range(100)),
            conversation_id=conversation_id,
            images=images,
            metadata={"project": f"p{number % 7}"},
            created_at=at,
            started_at=at,
            finished_at=at + timedelta(milliseconds=number % 5000),
        )


def _count(file: Path) -> int:
    """Return how many runs a file has so far."""
    try:
        with closing(connect(f"file:{file}?mode=ro", uri=True)) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM runs")
    except OperationalError:  # there is no file, or no table yet
        return 0
    return int(count)


async def _count_server(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM runs"))
    except asyncpg.UndefinedTableError:
        return 0
    finally:
        await connection.close()


def _missing(file: Path, other: Path) -> list[str]:
    """Return which rows of a file are not in another one, table by table."""
    faults = []
    with closing(connect(file)) as connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        # The index of the search is made anew; it is no table of rows.
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' "
            "AND name NOT LIKE 'search%' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for (name,) in names:
            [(count,)] = connection.execute(
                f"SELECT count(*) FROM (SELECT * FROM main.{name} "
                f"EXCEPT SELECT * FROM other.{name})"
            )
            if count:
                faults.append(f"{count} rows of {name} in {file.name} alone")
    return faults
