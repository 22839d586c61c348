"""`llamakeep backup`, `restore` and `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import read_settings
from llamakeep.cli.terminal import complain, spinning

if TYPE_CHECKING:
    from llamakeep.storage.backup import Findings


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            dir_okay=False, help="Where to; an earlier backup there is replaced."
        ),
    ],
) -> None:
    """
    Write the whole database to a file, also while a server uses it.

    The file has what users may not read of each other, and is readable by you only.
    """
    import asyncio

    from llamakeep.storage import location
    from llamakeep.storage.backup import back_up

    settings = read_settings()
    url = settings.database_url
    with spinning("Writing the backup …"):
        findings = asyncio.run(back_up(url, file, pg_dump=settings.pg_dump))
    size = file.stat().st_size
    typer.echo(f"{location(url)} is backed up in {file} ({size:,} bytes).")
    _show(str(file), findings)


def restore(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The backup.")],
    *,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Put it in place of a database that is there already."
        ),
    ] = False,
) -> None:
    """
    Make the database of a backup; servers have to be stopped before.

    What was under way continues when a server starts, and nothing is asked twice.
    """
    import asyncio

    from llamakeep.storage import location
    from llamakeep.storage.backup import restore as restore_backup

    settings = read_settings()
    url = settings.database_url
    with spinning("Restoring the backup …"):
        old = asyncio.run(
            restore_backup(file, url, is_replaced=replace, pg_dump=settings.pg_dump)
        )
    typer.echo(f"{location(url)} is what it was when {file} was written.")
    if old is not None:
        typer.echo(f"What was there before is kept as {old}; delete it when you can.")
    typer.echo("Start a server: it continues what was under way.")


def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The URL of a database.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The URL of an empty one.")
    ],
) -> None:
    """
    Copy everything to an empty database, such as from SQLite to PostgreSQL.

    Servers have to be stopped. A copy that was interrupted continues when the same
    command is run again; at the end, each row is compared.
    """
    import asyncio

    from llamakeep.storage import location
    from llamakeep.storage.backup import copy as copy_database

    with spinning("Copying …"):
        copied = asyncio.run(copy_database(source, target))
    typer.echo(
        f"{location(target)} has all {copied.rows:,} rows of {location(source)}, and "
        f"each is equal; {copied.written:,} were written now."
    )
    typer.echo("Start servers with the new LLAMAKEEP_DATABASE_URL.")


def verify(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|URL",
            help="A backup, or the URL of a database; else the settings' database.",
        ),
    ] = None,
) -> None:
    """Read all of a backup or a database, and say whether it is whole."""
    import asyncio

    from llamakeep.storage import location
    from llamakeep.storage.backup import verify as verify_backup
    from llamakeep.storage.backup import verify_database

    settings = read_settings()
    where = what or settings.database_url
    with spinning("Reading …"):
        if ":" in where and not Path(where).exists():
            findings = asyncio.run(verify_database(where))
            where = location(where)
        else:
            findings = asyncio.run(verify_backup(Path(where), pg_dump=settings.pg_dump))
    _show(where, findings)


def _show(where: str, findings: "Findings") -> None:
    """Print what was found, and end the command if something is wrong."""
    if findings.faults:
        for fault in findings.faults:
            complain(f"{where}: {fault}")
        raise typer.Exit(1)
    facts = [f"{count:,} {name}" for name, count in findings.counts.items()]
    if findings.revision:
        facts.append(f"revision {findings.revision}")
    typer.echo(f"{where} is whole: {', '.join(facts)}.")
    if findings.note:
        typer.echo(findings.note)
