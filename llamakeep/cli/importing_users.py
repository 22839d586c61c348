"""`llamakeep user import`: many users at once."""

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llamakeep.cli.environment import (
    local_actor,
    open_database,
    origin_of,
    page_of,
    read_settings,
)
from llamakeep.cli.terminal import complain, give_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamakeep.cli.users_file import Row
    from llamakeep.settings import Settings

MOST_SHOWN = 20
"""Mistakes that are shown; the rest are counted."""


def import_users(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(help="A CSV file with a line of headings; `-` is stdin."),
    ],
    *,
    days: Annotated[
        int,
        typer.Option(min=1, max=30, help="For how many days the links are good."),
    ] = 7,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Leave users alone who are there."),
    ] = False,
) -> None:
    """
    Create all users in a CSV file, or none; print a link for each to set a password.

    The column `name` has to be there. Others may be: `role` (`user` or `admin`),
    `concurrent_runs`, `tokens_per_day`, `tokens_per_month`, `dollars_per_day`,
    `dollars_per_month`, `end_user_prompts_per_day`, `retention_days` and `keep_texts`
    (`yes` or `no`); an empty cell is as none. What is printed is CSV, too: `name` and
    `link`, which is good once.
    """
    import asyncio
    import csv
    import sys

    from llamakeep.cli.users_file import LARGEST, WrongFile, read_users
    from llamakeep.errors import InvalidRequest

    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        give_up("The file is larger than 10 MiB. Nothing was created.")
    settings = read_settings()
    try:
        rows = read_users(content)
        links = asyncio.run(
            add_users(settings, rows, days=days, skips_existing=skip_existing)
        )
    except WrongFile as error:
        _refuse(error.faults)
    except InvalidRequest as error:
        lines = {row.username: row.line for row in rows}
        _refuse(
            [f"line {lines[e.field]}: {e.field}: {e.message}." for e in error.errors]
        )
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([("name", "link"), *links])
    skipped = len(rows) - len(links)
    more = f", {skipped} were there already" if skipped else ""
    created = "user is created" if len(links) == 1 else "users are created"
    typer.echo(
        f"{len(links)} {created}{more}. Links are good once, and for {days} "
        "days: send each to its user only.",
        err=True,
    )


async def add_users(
    settings: "Settings", rows: "Sequence[Row]", *, days: int, skips_existing: bool
) -> list[tuple[str, str]]:
    """
    Create users, and return their names and the links to set a password.

    Raises:
        InvalidRequest: Names are taken. Nothing was created.
    """
    from datetime import timedelta

    from llamakeep.credentials.tokens import digest, new_reset_token
    from llamakeep.storage.accounts.bulk import NewUser

    tokens = {row.username: new_reset_token() for row in rows}
    wanted = [
        NewUser(
            username=row.username,
            role=row.role,
            limits=row.limits,
            retention_days=row.retention_days,
            keeps=row.keeps,
            reset_digest=digest(tokens[row.username]),
        )
        for row in rows
    ]
    async with open_database(settings.database_url) as storage:
        created = await storage.add_users(
            wanted,
            lifetime=timedelta(days=days),
            skips_existing=skips_existing,
            actor=local_actor(),
        )
    near = origin_of((settings.host, settings.port), is_near=True)
    return [
        (
            user.username,
            page_of(settings, f"/reset#{tokens[user.username]}", origin=near),
        )
        for user in created
    ]


def _refuse(faults: "Sequence[str]") -> NoReturn:
    for fault in faults[:MOST_SHOWN]:
        complain(fault)
    more = f"{len(faults) - MOST_SHOWN} more. " if len(faults) > MOST_SHOWN else ""
    give_up(f"{more}Nothing was created.")
