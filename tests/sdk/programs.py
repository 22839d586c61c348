"""The programs of our pages, run as a reader would run them."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.waiting import LONG_ENOUGH

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs_of(page: str) -> list[tuple[str, str]]:
    """Return the languages and the texts of the blocks of a page."""
    return _BLOCK.findall((DOCS / f"{page}.md").read_text("utf-8"))


def output_of(
    *command: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    within: float = 4 * LONG_ENOUGH,
) -> str:
    """Run a program that has to succeed, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-20_000:]
    return done.stdout
