"""What runs the programs, each in the environment of its client."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.node import node_with_packages
from tests.sdk.clients import history
from tests.sdk.site import ALICE, ToolSite
from tests.waiting import LONG_ENOUGH

PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENTS = {
    "instructor_forms": "judge-instructor",
    "langchain_agents": "judges",
    "llamaindex_agents": "judges",
    "openai_agents": "judges",
    "pydantic_ai_agents": ".",
}
"""Where each program in Python has its client."""
JAVASCRIPT = Path(__file__).parent / "js_agents"
"""Where the programs in JavaScript are, with their clients."""


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

    def says_though_cut(self, scenario: str) -> tuple[Any, dict[str, Any]]:
        """
        Kill the server in the middle of a text; the client asks again by itself.

        Returns:
            What it was told then, and the run that broke off.
        """
        newest = self._newest()
        with broken_off(self.site, self.site.wait_for_text):
            self._write(scenario)
        return self._result(self._read()), interrupted_since(newest, self.site)

    def says_again_though_cut(self, scenario: str) -> tuple[Any, dict[str, Any]]:
        """
        Kill the server in the middle of a call's arguments, then ask again.

        Returns:
            What the client was told then, and the run that broke off.
        """
        newest = self._newest()
        with broken_off(self.site, self.site.wait_for_arguments):
            self._write(scenario)
        # It may have asked again by itself, or say that the connection was lost.
        assert self._read(), f"The program has ended: {self._process.wait()}"
        return self.says(scenario), interrupted_since(newest, self.site)

    def _newest(self) -> str:
        """Return the id of the newest run, if there is one."""
        [newest, *_] = [*history(self.site), {"id": ""}]
        return str(newest["id"])

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
def broken_off(site: ToolSite, wait_for_half: Callable[[], None]) -> Iterator[None]:
    """Kill the server when what the model says meanwhile is half on disk."""
    site.upstream.break_off()
    yield
    assert site.upstream.is_stalled.wait(LONG_ENOUGH)
    wait_for_half()
    site.restart()
    site.upstream.may_answer.set()


def interrupted_since(run_id: str, site: ToolSite) -> dict[str, Any]:
    """Return the run after another one that was interrupted."""
    end = time.monotonic() + LONG_ENOUGH
    while time.monotonic() < end:
        for run in history(site, 100):
            if run["id"] > run_id and run["status"] == "interrupted":
                return run
        time.sleep(0.1)
    raise AssertionError("No run was interrupted.")


def check_cut(run: dict[str, Any]) -> None:
    """Check that a run has what came of a call that broke off in its arguments."""
    *_, last = run["output"]
    assert last["type"] == "tool_call"
    assert last["text"] in {'{"cit', '{"nam'}
    assert run["error"]["type"] == "run-interrupted"


@contextmanager
def judging(
    program: str, python: Callable[[str], str], site: ToolSite, folder: Path
) -> Iterator[Judge]:
    if program in ENVIRONMENTS:
        command = [python(ENVIRONMENTS[program]), str(PROGRAMS / f"{program}.py")]
    else:
        command = [node_with_packages(JAVASCRIPT), str(JAVASCRIPT / f"{program}.mjs")]
    with subprocess.Popen(
        command,
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
