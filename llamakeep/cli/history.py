"""`llamakeep history`: reading and importing runs directly in the database."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import (
    get_user,
    local_username,
    open_user,
    read_settings,
)
from llamakeep.cli.terminal import (
    complain,
    first_line,
    give_up,
    print_rows,
    printable,
    printable_json,
    say,
)

if TYPE_CHECKING:
    from llamakeep.domain import Run
    from llamakeep.settings import Settings

cli = typer.Typer(
    name="history",
    help="Read a history or import runs, also while a server is running.",
    no_args_is_help=True,
)

LARGEST_HISTORY = 64 * 1024 * 1024
"""Bytes up to which a file that is no export is checked for `llamakeep import`."""
PIECE = 64 * 1024
"""How many bytes of a file are read at once."""

Username = Annotated[
    str | None,
    typer.Option("--user", help="The user; by default, your system's user name."),
]
MOST_LISTED = 1_000_000
Limit = Annotated[
    int, typer.Option(min=1, max=MOST_LISTED, help="How many, the newest first.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@cli.command("list")
def list_runs(
    *, user: Username = None, limit: Limit = 20, json: AsJson = False
) -> None:
    """List the newest runs."""
    _print_runs(user, limit=limit, json=json)


@cli.command()
def search(
    text: Annotated[
        str, typer.Argument(help='Words, "phrases" or prefix*es in prompt or response.')
    ],
    *,
    user: Username = None,
    limit: Limit = 20,
    json: AsJson = False,
) -> None:
    """List the runs that have all the words, "phrases" and prefix*es."""
    _print_runs(user, words=text, limit=limit, json=json)


@cli.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Such as `run_…`.")],
    *,
    user: Username = None,
    json: AsJson = False,
) -> None:
    """Show one run with its whole prompt and response."""
    import asyncio

    run = asyncio.run(find_run(read_settings(), user or local_username(), run_id))
    if json:
        say(_as_json(run))
    else:
        _print_run(run)


@cli.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="A file from `GET /history/export`: one run a line.",
        ),
    ],
    *,
    user: Username = None,
) -> None:
    """Add the runs of an exported file; importing it again adds nothing."""
    import asyncio

    from llamakeep.errors import InvalidRequest

    try:
        imported, known = asyncio.run(
            import_runs(read_settings(), user or local_username(), file)
        )
    except InvalidRequest as error:
        if error.errors and _is_history(file):
            give_up(
                f"{file} is a history in one piece of JSON, and no export. Import it "
                "with `llamakeep import FILE`. Nothing was imported."
            )
        for each in error.errors:
            if each.field.startswith("line "):
                complain(f"{file}: {each.field}: {each.message}")
        give_up(error.detail)
    typer.echo(f"{imported} runs are new, and {known} were there already.")


def _is_history(file: Path) -> bool:
    """Return whether `llamakeep import` reads a file; a large one is not checked."""
    from llamakeep.cli.history_file import is_history

    return file.stat().st_size <= LARGEST_HISTORY and is_history(file.read_bytes())


async def import_runs(
    settings: "Settings", username: str, file: Path
) -> tuple[int, int]:
    """
    Store the runs of an exported file; return how many are new, and how many are not.

    Raises:
        InvalidRequest: There is no such user, or a line of the file is invalid.
    """
    import asyncio
    from collections.abc import AsyncIterator

    from llamakeep.history.importing import Import

    async def pieces() -> AsyncIterator[bytes]:
        with await asyncio.to_thread(file.open, "rb") as content:
            while piece := await asyncio.to_thread(content.read, PIECE):
                yield piece

    async with open_user(settings, username) as (storage, user):
        importing = Import(
            storage,
            user,
            max_said=settings.max_body_size,
            max_images=settings.max_images_size,
        )
        await importing.read(pieces())
    return importing.imported, importing.known


async def find_runs(
    settings: "Settings", username: str, *, words: str | None, limit: int
) -> "Sequence[Run]":
    """Return the newest runs of a user, also while a server owns the database."""
    from llamakeep.storage import open_storage
    from llamakeep.storage.history.filters import RunFilter
    from llamakeep.storage.history.search import read_search

    async with open_storage(settings.database_url, is_owner=False) as storage:
        user = await get_user(storage, username)
        search = None if words is None else read_search(words)
        matching = RunFilter(search=search)
        return await storage.history(user, matching=matching, limit=limit)


async def find_run(settings: "Settings", username: str, run_id: str) -> "Run":
    """Return one run of a user, also while a server owns the database."""
    from llamakeep.storage import open_storage

    async with open_storage(settings.database_url, is_owner=False) as storage:
        return await storage.get_run(await get_user(storage, username), run_id)


def _print_runs(
    username: str | None, *, limit: int, json: bool, words: str | None = None
) -> None:
    import asyncio

    from llamakeep.history.records import readable

    runs = asyncio.run(
        find_runs(
            read_settings(),
            username or local_username(),
            words=words,
            limit=limit,
        )
    )
    if json:
        for run in runs:
            say(_as_json(run))
    elif sys.stdout.isatty():
        rows = (
            (
                run.id,
                f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
                first_line(run.prompt),
                first_line(f"{_remark(run)}{run.response or readable(run)}"),
            )
            for run in runs
        )
        print_rows(("id", "time", "prompt", "response"), rows)
    else:
        print_rows(
            (),
            (
                (run.id, _time(run), run.status, _model(run), run.prompt, run.response)
                for run in runs
            ),
        )


def _print_run(run: "Run") -> None:
    from llamakeep.history.records import images_in_markdown, readable

    facts = [
        ("id", run.id),
        ("time", _time(run)),
        ("status", run.status),
        ("model", _model(run)),
        ("conversation", run.conversation_id),
        ("system", run.system_prompt),
        ("error", run.error_detail),
    ]
    clean = printable if sys.stdout.isatty() else str
    for name, value in facts:
        if value:
            say(f"{name}: {clean(value)}")
    asked = "\n\n".join(filter(None, (run.prompt, images_in_markdown(run))))
    say(f"\n{clean(asked)}\n\n{clean(readable(run))}")


def _as_json(run: "Run") -> str:
    from llamakeep.history.records import shown_in_history
    from llamakeep.schemas.json_text import to_json

    return printable_json(to_json(shown_in_history(run)).decode())


def _time(run: "Run") -> str:
    return f"{run.created_at:%Y-%m-%dT%H:%M:%SZ}"


def _model(run: "Run") -> str:
    return f"{run.provider}:{run.model}"


def _remark(run: "Run") -> str:
    return "" if run.status == "succeeded" else f"({run.status}) "
