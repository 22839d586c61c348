"""What builds and checks releases, from an environment of its own."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def release_tool(name: str) -> str:
    """
    Return the path of a program of `requirements-release.txt`, or skip the test.

    With `CI` set the test fails instead: `make check` installs them.
    """
    found = ROOT / ".venv" / "release" / "bin" / name
    if found.exists():
        return str(found)
    reason = f"There is no {name} in .venv/release: make .venv/release.stamp"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(
    program: str, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one of them in the repository, with these variables, too."""
    return subprocess.run(
        [release_tool(program), *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
