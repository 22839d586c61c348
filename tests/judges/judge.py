"""What runs the programs, each in the environment of its client."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.sdk.site import ALICE, ToolSite
from tests.waiting import LONG_ENOUGH

PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENTS = {
    "instructor_forms": "judge-instructor",
    "langchain_agents": "judges",
    "llamaindex_agents": "judges",
    "openai_agents": "judges",
}
"""Where each program has its client."""


class Judge:
    """
    A program that runs as long as its tests: its client takes seconds to import.

    Args:
        process: One that was started for the program.
        site: The server that it talks to.
    """

    def __init__(self, process: subprocess.Popen[str], site: ToolSite) -> None:
        self._process = process
        self.site = site

    def says(self, scenario: str) -> Any:
        """Return what its client was told."""
        self._write(scenario)
        return self._result(self._read())

    def says_though_killed(self, scenario: str) -> Any:
        """Kill the server between the first call of the tool and its result."""
        self._write(f"killed {scenario}")
        line = self._read()
        if line == "called\n":
            self.site.restart()
        while line == "called\n":
            self._write("The server is back.")
            line = self._read()
        return self._result(line)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        # A program that hangs is ended, and then says nothing.
        timer = threading.Timer(2 * LONG_ENOUGH, self._process.kill)
        timer.start()
        try:
            return self._process.stdout.readline()
        finally:
            timer.cancel()

    def _result(self, line: str) -> Any:
        assert line, f"The program has ended: {self._process.wait()}"
        told = json.loads(line)
        assert "failed" not in told, told["failed"]
        return told["said"]


@contextmanager
def judging(
    program: str, python: Callable[[str], str], site: ToolSite, folder: Path
) -> Iterator[Judge]:
    with subprocess.Popen(
        [python(ENVIRONMENTS[program]), str(PROGRAMS / f"{program}.py")],
        cwd=folder,
        env=environment(site, folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.__stderr__,
        text=True,
    ) as process:
        yield Judge(process, site)
        process.kill()


def environment(site: ToolSite, folder: Path) -> dict[str, str]:
    """Return the variables of a program, which talks to nothing but the server."""
    return {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "OPENAI_BASE_URL": f"{site.origin}/v1",
        "OPENAI_API_KEY": ALICE,
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "DO_NOT_TRACK": "1",
    }
