"""deno, which runs the page's JavaScript in tests, and asks no other machine."""

import os
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
DENO = Path(sysconfig.get_path("scripts"), "deno")


def deno_command(command: str, *arguments: str) -> list[str]:
    """Return what starts deno with modules of this repository, and no others."""
    return [str(DENO), command, "--no-remote", "--no-npm", *arguments]


def deno_environment() -> dict[str, str]:
    """Return an environment without colours, and without a look for a newer deno."""
    return {**os.environ, "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
