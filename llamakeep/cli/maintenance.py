"""`llamakeep migrate`, `apply-retention` and `replicate-emulator`."""

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from llamakeep.cli.environment import open_database, read_settings
from llamakeep.cli.terminal import give_up, has_terminal


def migrate(
    *,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Do not ask before PostgreSQL's are changed."),
    ] = False,
    no_copy: Annotated[
        bool,
        typer.Option("--no-copy", help="Do not back up a SQLite file before."),
    ] = False,
) -> None:
    """
    Migrate the tables of the database to the schema of this version.

    What will be done is printed. A SQLite file is backed up before, beside it;
    `llamakeep restore` brings it back. On PostgreSQL, back up with `llamakeep backup`:
    there is a question if the database has users.
    """
    import asyncio

    from llamakeep.errors import DatabaseMissing
    from llamakeep.storage import location, migrate_database, plan_migration

    url = read_settings().database_url
    shown = location(url)
    with suppress(DatabaseMissing):
        plan = asyncio.run(plan_migration(url))
        for step in plan.steps:
            typer.echo(step)
        if plan.is_asked and not yes:
            _ask(f"Change the tables of {shown}, which is backed up?", "--yes")
    before, after = asyncio.run(migrate_database(url, is_copied=not no_copy))
    if before == after:
        typer.echo(f"{shown} is at revision {after} already.")
    else:
        typer.echo(f"{shown}: from revision {before or 'none'} to {after}.")


def _ask(question: str, option: str) -> None:
    """End the command unless a person says yes."""
    if not has_terminal():
        give_up(
            f"There is no terminal to ask on. Nothing was changed. Say `{option}`.",
            code=2,
        )
    typer.confirm(question, abort=True, err=True)


def apply_retention(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """
    Delete the runs that are too old, also if a server refuses to.

    A server deletes nothing if its clock is implausible or most runs are too old.
    """
    import asyncio

    from llamakeep.deletion.retention import old_runs, sweep
    from llamakeep.domain import utc_now

    settings, now = read_settings(), utc_now()
    days = settings.retention_days

    async def count() -> int:
        async with open_database(settings.database_url) as storage:
            return (await old_runs(storage, days, now=now)).count

    async def delete() -> int:
        async with open_database(settings.database_url) as storage:
            return await sweep(storage, days, is_confirmed=True)

    if not yes:
        typer.confirm(
            f"It is {now:%Y-%m-%d %H:%M} UTC. Delete {asyncio.run(count())} runs that "
            "are too old, for good?",
            abort=True,
            err=True,
        )
    typer.echo(f"{asyncio.run(delete())} runs are deleted.")


def replicate_emulator(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8401,
    settings: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A JSON file with settings."),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A JSON file with a list of rules."
        ),
    ] = None,
    answers: Annotated[
        str,
        typer.Option(
            help="What responds: `echo`, `local` (the embedded model), or the URL of "
            "an OpenAI-compatible server.",
        ),
    ] = "echo",
    embedded: Annotated[
        bool, typer.Option("--embedded", help="The same as `--answers local`.")
    ] = False,
) -> None:
    """Serve Replicate's HTTP API on this computer, for development and tests."""
    from pydantic import TypeAdapter, ValidationError

    from llamakeep.errors.wording import path_of, wording_of
    from replicate_emulator import EmulatorSettings, Rule, serve
    from replicate_emulator.__main__ import new_provider

    try:
        chosen = EmulatorSettings()
        if settings is not None:
            chosen = EmulatorSettings.model_validate_json(settings.read_bytes())
        scripted: list[Rule] = []
        if rules is not None:
            scripted = TypeAdapter(list[Rule]).validate_json(rules.read_bytes())
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(path_of(wrong["loc"]))
        option = "--settings" if error.title == "EmulatorSettings" else "--rules"
        said = ": ".join(filter(None, (option, where, wording_of(wrong))))
        give_up(said, code=2)
    if not re.match(r"(echo|local)$|https?://[^/]", answers):
        give_up(
            "--answers: It has to be `echo`, `local`, or a URL such as "
            "http://127.0.0.1:11434/v1.",
            code=2,
        )
    ours = read_settings()
    provider = new_provider("local" if embedded else answers)
    typer.echo(f"Replicate's API is at http://{host}:{port}/v1. Ctrl-C stops it.")
    sys.stdout.flush()
    serve(
        host,
        port,
        chosen,
        rules=scripted,
        provider=provider,
        origins=ours.cors_origins,
    )
