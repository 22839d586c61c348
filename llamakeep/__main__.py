"""`python -m llamakeep`, the same as `llamakeep`."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HOW_TO_INSTALL = (
    "llamakeep: {python} does not have what llamakeep needs. Run `make run` once, or "
    "`pip install -r requirements.txt` in an environment that is active."
)


def enter_own_environment() -> None:
    """Restart with `.venv`'s interpreter if this one lacks packages."""
    if all(find_spec(name) for name in ("typer", "pydantic_settings", "sqlalchemy")):
        return
    python = Path(__file__).parents[1] / ".venv" / "bin" / "python"
    is_there = python.exists() and Path(sys.prefix) != python.parents[1]
    if not is_there or os.name != "posix":
        sys.exit(HOW_TO_INSTALL.format(python=sys.executable))
    os.execv(python, [str(python), "-m", "llamakeep", *sys.argv[1:]])  # noqa: S606 - ours


if __name__ == "__main__":
    enter_own_environment()

    from llamakeep.cli import main

    main()
