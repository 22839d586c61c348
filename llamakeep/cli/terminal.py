"""Output of commands: formatted on terminals, plain lines in pipes."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import NoReturn

import typer

_ORDERS = (
    r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f"
)
"""Control characters of terminals, and those that change the direction of text."""
_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f{_ORDERS}]")
_IN_JSON = re.compile(f"[{_ORDERS}]")
_PLAIN = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


LEAST_FOR_TEXT = 24
"""The least width of a table's last two columns together."""


def complain(message: str) -> None:
    """Print an error on standard error."""
    typer.echo(f"llamakeep: {message}", err=True)


def give_up(message: str, *, code: int = 1) -> NoReturn:
    """Print an error, and end the command."""
    complain(message)
    raise typer.Exit(code)


def say(line: str) -> None:
    """Print a line in standard output's encoding, unlike `typer.echo`."""
    sys.stdout.write(f"{line}\n")


def write(text: str) -> None:
    """Write and flush a piece of a response; terminals get no control characters."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def read_password(whose: str = "", *, from_stdin: bool, confirm: bool = False) -> str:
    """Read a password from standard input, or prompt for it on the terminal."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not has_terminal():
        give_up(
            "There is no terminal to ask for the password on. Send it to standard "
            "input, with `--password-stdin`.",
            code=2,
        )
    question = f"Password of {whose}" if whose else "Password"
    return str(
        typer.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True)
    )


def has_terminal() -> bool:
    """Return whether there is a terminal, even if standard input is redirected."""
    try:
        if os.isatty(sys.stdin.fileno()):
            return True
        os.close(os.open("/dev/tty" if os.name == "posix" else "CON", os.O_RDWR))
    except (OSError, ValueError) as error:
        return not isinstance(error, OSError) or isinstance(error, UnsupportedOperation)
    return True


def printable(text: str) -> str:
    """Replace control characters, with which text could manipulate a terminal."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def printable_json(line: str) -> str:
    """Escape control characters in JSON, which keeps its meaning."""

    def escape(match: re.Match[str]) -> str:
        return json.dumps(match[0])[1:-1]

    return _IN_JSON.sub(escape, line)


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    r"""
    Print a table on a terminal, else lines with tab-separated cells.

    In the latter, line breaks and tabs within a cell are written as `\n` and `\t`.
    """
    if not sys.stdout.isatty():
        for row in rows:
            say("\t".join(cell.translate(_PLAIN) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, shown = Console(), [[printable(cell) for cell in row] for row in rows]
    widths = [
        max(len(row[place]) for row in [list(headings), *shown])
        for place in range(len(headings) - 2)
    ]
    if sum(widths) + 2 * len(headings) + LEAST_FOR_TEXT > console.width:
        for row in shown:
            lines = (
                f"{name}: {cell}" for name, cell in zip(headings, row, strict=True)
            )
            console.print(Text("\n".join(lines)), end="\n\n", soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in headings[-2:])
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def first_line(text: str, length: int = 60) -> str:
    """Return the beginning of `text` on one line, for a cell of a table."""
    words = " ".join(text[: 4 * length].split())
    return words if len(words) <= length else words[: length - 1] + "…"


class Spinner:
    """A spinner on a terminal's standard error."""

    def __init__(self, message: str) -> None:
        self._status = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(message)
            self._status.start()

    def stop(self) -> None:
        """Remove the spinner; may be called more than once."""
        if self._status is not None:
            self._status.stop()
            self._status = None


@contextmanager
def spinning(message: str) -> Iterator[Spinner]:
    """Show a spinner, which stops at the end of the block at the latest."""
    spinner = Spinner(message)
    try:
        yield spinner
    finally:
        spinner.stop()


@contextmanager
def progress(message: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on terminals; yield the function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(message, total=total)
        yield lambda count: bar.advance(task, count)
