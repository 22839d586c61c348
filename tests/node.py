"""Programs for Node.js, with the packages that a `package.json` names."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "win32":
    import fcntl

Drive = Callable[..., dict[str, Any]]
"""Takes the name of a program's function and its argument; returns what it says."""


def node_with_packages(folder: Path, *, within: float = 120) -> str:
    """
    Return Node, with the packages of `folder` installed at their exact versions.

    Args:
        folder: The one with `package.json`.
        within: Seconds that installing may take.
    """
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        return _unavailable(folder, "there is no Node.js here.")
    with _locked(folder):
        if _is_installed(folder):
            return found
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        installed = subprocess.run(
            [npm, "install", *options],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )
    if installed.returncode:
        reason = f"its packages cannot be installed. {installed.stderr[-500:]}"
        return _unavailable(folder, reason)
    return found


def _is_installed(folder: Path) -> bool:
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        manifest = folder / "node_modules" / name / "package.json"
        if not manifest.exists():
            return False
        if json.loads(manifest.read_text())["version"] != version:
            return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time install: tests run in several."""
    if sys.platform == "win32":  # where a folder cannot be opened
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _unavailable(folder: Path, reason: str) -> str:
    reason = f"Not tested with {folder.name}: {reason}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def driving(node: str, folder: Path, *arguments: str) -> Iterator[Drive]:
    """
    Run `client.mjs` of `folder`, and yield what lets it do something.

    One process serves many tests: Node takes longer to start than they take.
    """
    with subprocess.Popen(
        [node, "client.mjs", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def drive(name: str, argument: Any = None) -> dict[str, Any]:
            stdin.write(json.dumps([name, argument]) + "\n")
            stdin.flush()
            answer: dict[str, Any] = json.loads(stdout.readline())
            return answer

        yield drive
        process.kill()
