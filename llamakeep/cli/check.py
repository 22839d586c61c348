"""`llamakeep check`: whether the installation works, and how to fix what does not."""

from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.terminal import say, spinning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamakeep.check.finding import Finding

COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


def check(
    *,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where clients reach the running server, such as "
            "https://llm.example.com: check the proxy there, too."
        ),
    ] = None,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Ask each provider for a short answer, which may cost something, and "
            "see whether it streams.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of lines.")
    ] = False,
) -> None:
    """
    Check settings, database, disk, providers and all that they name.

    One line for each: `ok`, `warning` or `failed`, and what to do. It changes nothing,
    asks no model for anything without `--ask`, and may be run beside a server. The exit
    code is 1 if anything failed.
    """
    import asyncio
    import logging

    from llamakeep.check.checks import run_checks

    # What is logged on the way is said by the lines.
    logging.getLogger("llamakeep").addHandler(logging.NullHandler())
    with spinning("Checking …"):
        found = asyncio.run(run_checks(url=url, is_asking=ask))
    is_good = all(each.level != "failed" for each in found)
    if as_json:
        _print_json(found)
    else:
        for each in found:
            say(_line(each))
    if not is_good:
        raise typer.Exit(1)


def _line(found: "Finding") -> str:
    import sys

    level = f"{found.level:7}"
    if sys.stdout.isatty():
        level = typer.style(level, fg=COLORS[found.level])
    return f"{level}  {found.about:9}  {found.message} {found.fix}".rstrip()


def _print_json(found: "Sequence[Finding]") -> None:
    import json
    from dataclasses import asdict

    levels = [each.level for each in found]
    worst = next((each for each in ("failed", "warning") if each in levels), "ok")
    checks = [asdict(each) for each in found]
    say(json.dumps({"level": worst, "checks": checks}, ensure_ascii=False))
