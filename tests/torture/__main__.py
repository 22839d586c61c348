"""
Break everything that can break, and see whether the promises hold.

    python -m tests.torture [--scale 1] [--seed 7] [--scenario WORDS] [--write]

Real servers, an emulator of Replicate and their clients are processes of their own;
servers are killed and frozen while the clients rely on them. It ends with 1 if anything
that was promised did not come true.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import text

from llamakeep.storage import open_storage
from tests.acceptance.processes import ROOT, Runner
from tests.postgres import new_database, running_postgres
from tests.torture.campaign import Campaign
from tests.torture.plans import on_postgres, on_sqlite, on_three_servers
from tests.torture.replicate import emulator_process
from tests.torture.report import Row, table, where_and_when, write
from tests.torture.site import prepare
from tests.torture.stage import Stage

PAGE = ROOT / "docs" / "durability.md"


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[str]:
    yield f"sqlite:///{folder / 'torture.db'}"


async def torture(
    runner: Runner,
    emulator: str,
    postgres: str,
    folder: Path,
    *,
    only: str | None,
    scenario: str,
    **how: float,
) -> list[Row]:
    """
    Do everything on both databases, and return what was found.

    Args:
        only: The name of the one database to do it on; `three` is PostgreSQL's with
            three servers.
        scenario: Words in the names of the scenarios to do; all have no words.
    """
    chance = random.Random(how["seed"])
    rows = []

    @asynccontextmanager
    async def postgresql(_folder: Path) -> AsyncIterator[str]:
        async with new_database(postgres, template) as url:
            yield url

    async with new_database(postgres) as template_url:
        template = template_url.rpartition("/")[2]
        await prepare(template_url)
        stages = [
            Stage(
                new,
                nodes=nodes,
                runner=runner,
                emulator=emulator,
                folder=folder / f"nodes-{nodes}",
                chance=chance,
            )
            for new, nodes in ((sqlite, 1), (postgresql, 2), (postgresql, 3))
        ]
        scale = how["scale"]
        own, shared, of_three = stages
        on_shared = on_postgres(shared, scale, server_url=postgres, template=template)
        campaigns = {
            "sqlite": Campaign(
                "SQLite, one server",
                own,
                scale,
                on_sqlite(own, scale),
                scenario=scenario,
            ),
            "postgresql": Campaign(
                "PostgreSQL, two servers", shared, scale, on_shared, scenario=scenario
            ),
            "three": Campaign(
                "PostgreSQL, three servers",
                of_three,
                scale,
                on_three_servers(of_three, scale),
                scenario=scenario,
                at_points=False,
            ),
        }
        for name, campaign in campaigns.items():
            if name != (only or name):
                continue
            async for row in campaign.rows():
                say(*row.cells(), sep=" | ")
                for fault in row.outcome.verdict.faults:
                    say(fault)
                rows.append(row)
    return rows


async def versions(postgres: str, folder: Path) -> list[str]:
    async with sqlite(folder) as url, open_storage(url) as storage:
        sqlite_version = await storage._database.read(
            lambda connection: connection.scalar(text("SELECT sqlite_version()"))
        )
    connection = await asyncpg.connect(postgres)
    postgres_version = await connection.fetchval("SHOW server_version")
    await connection.close()
    return [f"SQLite {sqlite_version}", f"PostgreSQL {postgres_version}"]


def say(*words: str, sep: str = " ") -> None:
    print(*words, sep=sep, flush=True)  # noqa: T201 - a person waits for it


def main() -> int:
    """Return 0 if nothing that was promised broke."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1, help="how much of it to do")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql", "three"))
    parser.add_argument("--scenario", default="", help="those with these words only")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}, too")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("tests.torture").setLevel(logging.INFO)
    say(f"The seed is {given.seed}; it fixes what is done, but not when.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runner = Runner(folder)
        stack.callback(runner.close)
        emulator = stack.enter_context(emulator_process(folder))
        postgres = stack.enter_context(running_postgres())
        began = time.monotonic()
        rows = asyncio.run(
            torture(
                runner,
                emulator,
                postgres,
                folder,
                only=given.only,
                scenario=given.scenario,
                scale=given.scale,
                seed=given.seed,
            )
        )
        took = time.monotonic() - began
        facts = where_and_when(asyncio.run(versions(postgres, folder)), took)
    say(f"\n{table(rows)}\n{facts}")
    if given.write:
        write(PAGE, f"{table(rows)}\n{facts}")
    faults = sum(len(row.outcome.verdict.faults) for row in rows)
    say(f"{faults} broken promises.")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
