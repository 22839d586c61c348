"""Commands of llamakeep as processes, which can be killed."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from tests.acceptance.processes import ROOT, outside_variables
from tests.postgres import find_binaries


async def start_command(folder: Path, *arguments: str, database_url: str) -> Process:
    """
    Start a command; its standard error is a pipe.

    Args:
        folder: Where it runs.
        arguments: Its name, and what follows.
        database_url: The database of its settings.
    """
    variables = {"PYTHONPATH": str(ROOT), "LLAMAKEEP_DATABASE_URL": database_url}
    if database_url.startswith("postgresql:"):
        variables["LLAMAKEEP_PG_DUMP"] = str(find_binaries() / "pg_dump")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llamakeep", *arguments),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env=outside_variables() | variables,
        cwd=folder,
    )


async def failure_of(process: Process) -> str | None:
    """Wait for the end of a command, and return what it says if it failed."""
    _, said = await process.communicate()
    if process.returncode == 0:
        return None
    return said.decode() or f"exit status {process.returncode}"
