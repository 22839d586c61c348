"""
The command line.

Commands parse arguments and print; the work is in asynchronous functions. Modules here
import nothing slow: a command imports what it needs when it runs.
"""

import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from llamakeep import __version__
from llamakeep.cli import (
    ask,
    backup,
    check,
    history,
    importing,
    importing_users,
    invitations,
    keys,
    limits,
    maintenance,
    serve,
    users,
)
from llamakeep.cli.remote import logging_in
from llamakeep.cli.terminal import complain
from llamakeep.errors import InvalidRequest, LlamaKeepError

INTERRUPTED = 130
"""The exit code of a command that was stopped with Ctrl-C."""
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What writing fails with where standard output is a file."""


class Commands(TyperGroup):
    """Commands whose failures are one line, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and print errors as messages instead of tracebacks."""
        try:
            return super().invoke(ctx)
        except LlamaKeepError as error:
            kept = f" The prompt is kept as {error.run_id}." if error.run_id else ""
            complain(f"{_in_words(error)}{kept}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error


cli = typer.Typer(
    name="llamakeep",
    help="A self-hosted prompt API that keeps everything.",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _in_words(error: LlamaKeepError) -> str:
    """Return the error's detail without the names of HTTP parameters."""
    detail = error.detail
    for each in error.errors if isinstance(error, InvalidRequest) else ():
        if each.field.startswith(("query.", "header.")):
            detail = detail.replace(f"{each.field}: ", "", 1)
    return detail


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"llamakeep {__version__}")
        raise typer.Exit


@cli.callback()
def _common(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    pass


cli.command("serve")(serve.serve)
cli.command("ask")(ask.ask)
cli.command("login")(logging_in.login)
cli.command("logout")(logging_in.logout)
cli.command("check")(check.check)
cli.add_typer(history.cli)
users.cli.command("limits")(limits.limits)
users.cli.command("models")(limits.models)
users.cli.command("import")(importing_users.import_users)
cli.add_typer(users.cli)
cli.add_typer(keys.cli)
cli.add_typer(invitations.cli)
cli.command("import")(importing.import_history)
cli.command("migrate")(maintenance.migrate)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)
cli.command("verify")(backup.verify)
cli.command("copy")(backup.copy)
cli.command("apply-retention")(maintenance.apply_retention)
cli.command("replicate-emulator")(maintenance.replicate_emulator)


def main() -> None:
    """Run the command in `sys.argv`, and exit."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, _nothing())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Terminals with a limited encoding show `?` for other characters.
            stream.reconfigure(errors="replace")
    try:
        try:
            cli(prog_name="llamakeep")
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in {*_UNWRITABLE, errno.EPIPE}:
            raise
        sys.stdout = _nothing()  # or the rest is written at the exit, in vain
        if error.errno != errno.EPIPE:
            complain(f"Standard output cannot be written: {error.strerror}.")
        sys.exit(1)


def _nothing() -> TextIO:
    """Open a file that is empty, and forgets what is written."""
    return Path(os.devnull).open("r+", encoding="utf-8")
