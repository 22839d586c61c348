"""What a load balancer is told while the database fails."""

import asyncio
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection

from llamakeep.api.http import health
from llamakeep.engine.circuits.rules import FAILURES
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from llamakeep.storage.database.clock import FRESH
from tests.api.serving import connect
from tests.fakes import ScriptedProvider

PROMPT = {"prompt": "All work and no play. " * 5000}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with little room, where one can be made."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"There can be no small disk here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
async def test_a_full_disk_is_not_ready_at_once_and_is_said_twice(
    settings: Settings,
    small_disk: Path,
    migrated_file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await asyncio.to_thread(shutil.copy, migrated_file, small_disk)
    url = f"sqlite:///{small_disk / migrated_file.name}"
    settings = settings.model_copy(update={"database_url": url})
    filling = small_disk / "filling"
    caplog.set_level(logging.INFO)
    async with connect(settings, ScriptedProvider()) as client:
        ready = await client.get("/readyz")
        await asyncio.to_thread(_fill, filling)
        await asyncio.sleep(FRESH)
        full = await client.get("/readyz")
        refused = [await client.post("/prompt/", json=PROMPT) for _ in range(5)]
        await asyncio.to_thread(filling.unlink)
        later = time.monotonic() + 60
        client.storage.trouble.now = lambda: later
        again = await client.get("/readyz")
        taken = await client.post("/prompt/", json=PROMPT)

    assert ready.status_code == again.status_code == taken.status_code == 200
    assert {each.status_code for each in (full, *refused)} == {503}
    records = [r for r in caplog.records if r.name.startswith("llamakeep")]
    said = [r.getMessage() for r in records if r.levelno >= logging.WARNING]
    assert len([each for each in said if "cannot be used" in each]) == 1
    assert len([each for each in said if "can be used again" in each]) == 1
    assert not any(record.exc_info for record in records)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(b"x" * 4096)


async def test_a_database_that_fails_for_a_moment_is_ready(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.2)
    has_begun, may_end = threading.Event(), threading.Event()

    def holding(_: Connection) -> None:
        has_begun.set()
        may_end.wait()

    async with (
        connect(settings, ScriptedProvider()) as client,
        open_storage(settings.database_url, is_owner=False) as other,
    ):
        now = time.monotonic() + 60
        client.storage.trouble.now = lambda: now
        held = asyncio.ensure_future(other._database.write(holding))
        await asyncio.to_thread(has_begun.wait)
        statuses = []
        for seconds in (FRESH, 4, 2):
            now += seconds
            statuses.append((await client.get("/readyz")).status_code)
        may_end.set()
        await held
        await client.storage.add_user("carol", None)  # after what waited for the lock
        again = await client.get("/readyz")

    assert statuses == [200, 200, 503]
    assert again.json() == {"status": "ready"}


async def test_an_upstream_that_is_down_leaves_the_server_ready(
    settings: Settings,
) -> None:
    down = ScriptedProvider(name="down", refusal=ProviderUnavailable("It is down."))
    up = ScriptedProvider(name="up")
    async with connect(settings, down, up) as client:
        for _ in range(FAILURES + 1):
            failed = await client.post("/prompt/", json=PROMPT)
        ready = await client.get("/readyz")
        answered = await client.post("/prompt/", json=PROMPT | {"model": "up:parrot"})

    assert (failed.status_code, ready.status_code) == (503, 200)
    assert answered.status_code == 200
