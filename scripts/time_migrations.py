"""
Measure how long each migration takes, and locks, in a database of many runs.

    python scripts/time_migrations.py URL --since 0015 [--runs 1000000]

The database has to be empty. What is measured goes into the migrations that lock runs
for long, as `SECONDS_OF_A_MILLION_RUNS`.
"""

import argparse
import asyncio
import sys
import time
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

sys.path.insert(0, str(Path(__file__).parents[1]))

from llamakeep.storage.database import schema
from llamakeep.storage.database.port import Database
from llamakeep.storage.storage import open_database

_USER = (
    "INSERT INTO users (id, username, username_key, created_at) "
    "VALUES ('user_1', 'alice', 'alice', {created_at})"
)
_COLUMNS = (
    "id, user_id, status, prompt, response, conversation_id, parameters, metadata, "
    "provider, model, created_at, attempt"
)
_VALUES = (
    "{id}, 'user_1', 'succeeded', {prompt}, {response}, 'conv_1', '{{}}', '{{}}', "
    "'replicate', 'meta/llama', {created_at}, 1"
)
_FILL = {
    "sqlite": (
        _USER.format(created_at="0"),
        "WITH RECURSIVE numbers (n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {runs}) "
        f"INSERT INTO runs ({_COLUMNS}) SELECT "
        + _VALUES.format(
            id="printf('run_%026d', n)",
            prompt="hex(randomblob(75))",
            response="hex(randomblob(400))",
            created_at="n",
        )
        + " FROM numbers",
    ),
    "postgresql": (
        _USER.format(created_at="now()"),
        # Their words take minutes, and no migration reads them.
        "ALTER TABLE runs DISABLE TRIGGER USER",
        f"INSERT INTO runs ({_COLUMNS}) SELECT "
        + _VALUES.format(
            id="'run_' || lpad(n::text, 26, '0')",
            prompt="(SELECT string_agg(md5(random()::text), '') "
            "FROM generate_series(1, 5) WHERE n > 0)",
            response="(SELECT string_agg(md5(random()::text), '') "
            "FROM generate_series(1, 25) WHERE n > 0)",
            created_at="now()",
        )
        + " FROM generate_series(1, {runs}) AS n",
        "ALTER TABLE runs ENABLE TRIGGER USER",
        "ANALYZE",
    ),
}


async def main(url: str, since: str, runs: int) -> None:
    """Make the tables of an earlier version, fill them, and time each migration."""
    database = open_database(url, is_owner=True, is_hurried=False)
    try:
        await database.write(partial(schema.migrate, target=since))
        await database.write(partial(_fill, runs=runs))
        for step in schema.steps_from(since):
            began = time.monotonic()
            writing = asyncio.create_task(_longest_write(database))
            await database.write(partial(schema.migrate, target=step.revision))
            took = time.monotonic() - began
            writing.cancel()
            longest = await writing
            _say(f"{step.revision}  {took:7.3f} s  others waited {longest:7.3f} s")
    finally:
        await database.close()


def _fill(connection: Connection, runs: int) -> None:
    for statement in _FILL[connection.dialect.name]:
        connection.exec_driver_sql(statement.replace("{runs}", str(runs)))


async def _longest_write(database: Database) -> float:
    """Write a run every now and then until canceled; return the longest it took."""
    longest = 0.0
    try:
        while True:
            began = time.monotonic()
            await asyncio.shield(database.write(_write))
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - began - 0.01)


def _write(connection: Connection) -> None:
    connection.exec_driver_sql(
        "UPDATE runs SET attempt = attempt + 1 "
        "WHERE id = 'run_00000000000000000000000001'"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--since", required=True, help="the revision to begin with")
    parser.add_argument("--runs", type=int, default=1_000_000)
    given = parser.parse_args()
    asyncio.run(main(given.url, given.since, given.runs))
