"""PostgreSQL behind a pooler that knows no prepared statements."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest

from llamakeep.domain import RunStatus
from llamakeep.storage import Storage, open_storage
from tests.debian import debian_program
from tests.storage.running import LEASE, ended, new_run

CONFIGURATION = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 3
max_client_conn = 200
server_reset_query = DISCARD ALL
"""


@pytest.fixture(params=["session", "transaction"])
def pooled_url(
    request: pytest.FixtureRequest, clean_postgres_url: str
) -> Iterator[str]:
    """The URL of a database behind pgbouncer, in either of its modes."""
    program = debian_program("pgbouncer")
    server = urlsplit(clean_postgres_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own_port: int = probe.getsockname()[1]
    with TemporaryDirectory(prefix="llamakeep-pgbouncer-") as name:
        file = Path(name) / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(
                host=server.hostname,
                port=server.port,
                own_port=own_port,
                mode=request.param,
            )
        )
        user = None
        if os.geteuid() == 0:  # which it refuses to be
            user = "nobody"
            for path in (name, file):
                shutil.chown(path, user)
        with subprocess.Popen(
            [program, "-q", str(file)],
            user=user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            _wait_until_open(own_port)
            yield server._replace(netloc=f"postgres@127.0.0.1:{own_port}").geturl()
            process.kill()


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


async def test_prompts_are_kept_behind_a_pooler(pooled_url: str) -> None:
    # In session mode there are no more connections than the pooler has.
    at_once = 3 if "session" in os.environ["PYTEST_CURRENT_TEST"] else 20
    async with open_storage(pooled_url, migrate=True) as storage:
        alice = await storage.add_user("alice", None)

        async def life(number: int) -> None:
            run = new_run(alice, str(number), metadata={"n": str(number)})
            await storage.accept(run, node="node_1", lease=LEASE)
            assert await storage.finish(ended(run, response=f"So {number}."))

        for begin in range(0, 100, at_once):
            await asyncio.gather(*map(life, range(begin, begin + at_once)))

        runs = await storage.history(alice, limit=200)
        found = {run.prompt: run.response for run in runs}
        assert all(found[str(n)] == f"So {n}." for n in range(100))
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}


async def test_locks_of_a_frozen_process_end_behind_a_pooler(pooled_url: str) -> None:
    async with open_storage(pooled_url) as storage:
        assert await _setting(storage, "idle_in_transaction_session_timeout") == "5s"
        assert await _setting(storage, "statement_timeout") == "10s"


async def _setting(storage: Storage, name: str) -> str:
    value: str = await storage._database.write(
        lambda c: c.exec_driver_sql(f"SHOW {name}").scalar_one()
    )
    return value
