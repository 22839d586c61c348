"""Write `docs/reference/cli.md`, or with `--check` only say whether it is stale."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from llamakeep.cli import cli

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
INTRODUCTION = """\
<!-- Written by scripts/cli_reference.py. Change the code instead. -->

# The command line

Every command explains itself with `--help`. Settings are read from `LLAMAKEEP_*`
variables and from `.env` in the current folder. On a terminal there are tables and
spinners; into a pipe go plain lines, with a tab between two cells.

The exit code is 0 when it worked, 1 when it did not and standard error says why, 2 when
the command or a setting makes no sense, and 130 after Ctrl-C.
"""


def main() -> int:
    """Return 1 when the page is stale and was only to be checked."""
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is stale: python scripts/cli_reference.py writes it.")
    if sys.argv[1:] == ["--check"]:
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """Return the page."""
    command = typer.main.get_command(cli)
    return "\n".join([INTRODUCTION, *sections(command, "llamakeep")])


def sections(command: Any, path: str) -> Iterator[str]:
    """Yield the section of a command, or those of the commands in a group."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from sections(child, f"{path} {name}")
        return
    parameters = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [usage(one) for one in parameters if is_argument(one)]
    yield f"## `{' '.join([path, *arguments])}`\n"
    yield f"{command.help}\n"
    rows = [row(one) for one in parameters]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows, ""])


def is_argument(parameter: Any) -> bool:
    """Return whether a parameter is known by its place, not by a name."""
    return bool(parameter.param_type_name == "argument")


def usage(argument: Any) -> str:
    """Return how an argument stands in the usage line."""
    name = (argument.metavar or argument.name).upper()
    return name if argument.required else f"[{name}]"


def row(parameter: Any) -> str:
    """Return the line of a table that says what a parameter is for."""
    name = usage(parameter) if is_argument(parameter) else ", ".join(parameter.opts)
    notes = [parameter.help or ""]
    if not is_argument(parameter) and not parameter.is_flag:
        choices = get_args(parameter.type_descriptor.annotation)
        words = [one for one in choices if isinstance(one, str)]
        name += f" {'/'.join(words) or parameter.metavar or 'VALUE'}"
        if parameter.default is not None:
            notes.append(f"Default: `{parameter.default}`.")
    if getattr(parameter, "envvar", None):
        notes.append(f"Variable: `{parameter.envvar}`.")
    return f"| `{name}` | {' '.join(notes)} |"


if __name__ == "__main__":
    sys.exit(main())
