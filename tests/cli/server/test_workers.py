"""How many processes serve, and who may have more than one."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from llamakeep.errors import OneProcessOnly
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from llamakeep.workers.parent import check_can_share
from tests.cli.conftest import Type, said, started
from tests.waiting import LONG_ENOUGH

if sys.platform == "win32":
    pytest.skip("There is one process there.", allow_module_level=True)


def test_more_than_one_worker_is_refused_on_sqlite(typed: Type, fresh: Path) -> None:
    refused = typed("serve", "--port", "0", "--workers", "2")

    assert refused.exit_code == 1
    assert refused.stderr.startswith(
        "llamakeep: There cannot be 2 workers on SQLite: one process owns the file."
    )
    assert "postgresql://" in refused.stderr
    assert not fresh.exists()


def test_more_than_one_worker_is_refused_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(OneProcessOnly, match="Windows"):
        check_can_share(Settings(workers=2, database_url="postgresql://host/name"))


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
async def test_one_worker_is_always_possible() -> None:
    async with started(
        "serve", "--port", "0", "--workers", "1", LLAMAKEEP_WORKERS="2"
    ) as server:
        line = await server.line()
        server.signal(signal.SIGTERM)
        code, _, _ = await server.ended()

    assert line.startswith("llamakeep serves on ")
    assert code == 0


async def test_workers_that_cannot_start_say_why_once(postgres_url: str) -> None:
    code, out, err = await said(
        *("serve", "--port", "0", "--workers", "2"), LLAMAKEEP_DATABASE_URL=postgres_url
    )

    assert (code, out) == (1, "")
    assert err.startswith("llamakeep: The database is at revision None")
    assert err.count("\n") == 1


async def test_the_first_start_with_workers_offers_a_set_up_that_each_of_them_does(
    postgres_url: str,
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    async with started(
        *("serve", "--port", "0", "--workers", "2"), LLAMAKEEP_DATABASE_URL=postgres_url
    ) as server:
        told = [await server.line() for _ in range(7)]
        found = re.search(r"http://\S+", told[0])
        assert found
        body = {"username": "root", "password": "long enough"}
        body["token"] = told[5].strip().partition("#")[2]
        async with httpx2.AsyncClient(
            base_url=found[0], trust_env=False, verify=False, timeout=LONG_ENOUGH
        ) as client:
            made = await asyncio.gather(
                *(client.post("/setup/", json=body) for _ in range(16))
            )
        second = await said("serve", "--port", found[0].rpartition(":")[2])
        server.signal(signal.SIGTERM)
        code, out, _ = await server.ended()

    assert told[3] == "Workers: 2"
    assert told[4].startswith("There are no users yet.")
    assert sorted(response.status_code for response in made) == [201] + [401] * 15
    assert (second[0], second[1]) == (1, "")
    assert "it is in use." in second[2]
    assert (code, out) == (0, "")


def _children(pid: int) -> list[int]:
    """Return the processes that one has started, whichever thread of it did."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for file in files for child in file.read_text().split())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="It looks into /proc.")
@pytest.mark.parametrize("last", [signal.SIGQUIT, signal.SIGTERM])
async def test_signals_mean_the_same_to_workers_as_to_one_process(
    postgres_url: str, last: signal.Signals
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    serve = ("serve", "--port", "0", "--workers", "2")
    async with started(*serve, LLAMAKEEP_DATABASE_URL=postgres_url) as server:
        line = await server.line()
        workers = await asyncio.to_thread(_children, server.pid)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            for pid in (server.pid, *workers):  # as `systemctl kill` does
                os.kill(pid, number)
            await asyncio.sleep(0.1)
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            health = await client.get(f"{line.split()[3]}/healthz")
        left = await asyncio.to_thread(_children, server.pid)
        for pid in (server.pid, *workers):
            os.kill(pid, last)
        code, _, err = await server.ended()

    assert len(workers) >= 2
    assert left == workers
    assert health.status_code == 200
    assert (code, "Traceback" in err) == (0, False), err
