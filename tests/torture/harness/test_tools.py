"""What breaks things has to break exactly those."""

import errno
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.torture.clocks import Clock, ClockUnavailable
from tests.torture.commit_proxy import FATES, CommitProxy, Fate, commit_proxy
from tests.torture.crash_points import POINTS
from tests.torture.disks import SmallDisk, small_disk


class Chosen(random.Random):
    """Chance that has chosen already."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def choice(self, seq: object) -> Fate:  # type: ignore[override]
        assert seq == FATES
        return self._fate


async def insert(proxy: CommitProxy, number: int) -> None:
    connection = await asyncpg.connect(proxy.url)
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO kept VALUES ($1)", number)
    finally:
        connection.terminate()


@pytest.mark.parametrize(
    ("fate", "is_kept"),
    [("not sent", {False}), ("sent", {False, True}), ("committed", {True})],
)
async def test_a_commit_is_lost_before_or_after_it_is_done(
    postgres_url: str, fate: Fate, is_kept: set[bool]
) -> None:
    direct = await asyncpg.connect(postgres_url)
    await direct.execute("CREATE TABLE kept (number int)")

    async with commit_proxy(postgres_url, Chosen(fate), every=1) as proxy:
        await insert(proxy, 1)
        proxy.left = 1
        with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
            await insert(proxy, 2)
        await insert(proxy, 3)

    numbers = [row[0] for row in await direct.fetch("SELECT number FROM kept")]
    await direct.close()
    assert {1, 3} <= {*numbers}
    assert (2 in numbers) in is_kept
    assert proxy.lost == {fate: 1}


@pytest.fixture(params=[True, False], ids=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    if not request.param:
        yield SmallDisk(tmp_path, is_mounted=False)
        return
    with small_disk(megabytes=1) as disk:
        if not disk.is_mounted:
            pytest.skip("Nothing may be mounted here.")
        yield disk


@pytest.mark.slow
def test_a_disk_is_full_until_it_is_emptied(disk: SmallDisk) -> None:
    file = disk.folder / "data"
    write = (
        "import sys\n"
        "for _ in sys.stdin:\n"
        "    try:\n"
        "        with open(sys.argv[1], 'ab') as file: file.write(bytes(9999))\n"
        "        print(0, flush=True)\n"
        "    except OSError as error:\n"
        "        print(error.errno, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", write, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def trouble() -> int:
            stdin.write("\n")
            stdin.flush()
            return int(stdout.readline())

        before = trouble()
        disk.fill([process.pid])
        meanwhile = trouble()
        disk.empty([process.pid])
        after = trouble()
        stdin.close()

    assert (before, after) == (0, 0)
    assert meanwhile in {errno.ENOSPC, errno.EFBIG}


@pytest.mark.parametrize("name", POINTS)
def test_a_crash_point_is_a_method_that_there_is(name: str) -> None:
    point = POINTS[name]

    assert callable(getattr(point.owner, point.method))


@pytest.mark.slow
def test_a_clock_is_wrong_for_its_processes_alone(tmp_path: Path) -> None:
    try:
        clock = Clock(tmp_path / "clock")
    except ClockUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    clock.set(7200)

    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"],
        env=os.environ | clock.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    wall, monotonic = map(float, told.stdout.split())
    assert wall - time.time() == pytest.approx(7200, abs=600)
    assert monotonic - time.monotonic() == pytest.approx(0, abs=600)
