"""The command line as a person types it: in this process, or in one of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

import httpx2
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from llamakeep.cli import cli
from llamakeep.settings import Settings
from tests.waiting import LONG_ENOUGH

ROOT = Path(__file__).parents[2]
httpx2.AsyncHTTPTransport()  # the first one imports, which blocks


MOST_SAID = 64 * 1024 * 1024
"""
Bytes of output that wait here until a test reads them.

They have to be taken out of the pipe all the while: a server whose log is not read
stops in the middle of a line, with all its clients, as soon as the pipe is full.
"""

Type = Callable[..., Result]
one_command = cache(get_command)


@pytest.fixture(autouse=True)
def surroundings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Let commands find a migrated database, no model, and nobody's own files."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("LLAMAKEEP_LOCAL_MODEL", "none")
    for name in ("LLAMAKEEP_SERVER", "LLAMAKEEP_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The path of a database file that commands would use, and that is not there."""
    path = tmp_path / "fresh.db"
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", f"sqlite:///{path}")
    return path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Run a command in this process."""
    # Otherwise each command that is typed builds all of them.
    monkeypatch.setattr("typer.testing._get_command", one_command)

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin)

    return run


class Process:
    """A command in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def line(self) -> str:
        """Return the next line of its output."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LONG_ENOUGH):
            return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def some(self) -> str:
        """Return what it says next."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LONG_ENOUGH):
            return (await self._process.stdout.read(4096)).decode()

    async def complaint(self) -> str:
        """Return what it says next on standard error."""
        assert self._process.stderr is not None
        async with asyncio.timeout(LONG_ENOUGH):
            return (await self._process.stderr.read(4096)).decode()

    def signal(self, number: int) -> None:
        # Popen's own way looks whether the process has ended, and takes its exit code
        # from the event loop, which waits for it.
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    async def ended(self, stdin: bytes | None = None) -> tuple[int, str, str]:
        """Return its exit code, and the rest of what it said."""
        async with asyncio.timeout(LONG_ENOUGH):
            out, err = await self._process.communicate(stdin)
        assert self._process.returncode is not None
        return self._process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def started(*arguments: str, **variables: str) -> AsyncIterator[Process]:
    """Start a command; it is killed if the test leaves it behind."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "llamakeep",
        *arguments,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        limit=MOST_SAID,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def said(
    *arguments: str, stdin: bytes | None = None, **variables: str
) -> tuple[int, str, str]:
    """Run a command to its end."""
    async with started(*arguments, **variables) as process:
        return await process.ended(stdin)
