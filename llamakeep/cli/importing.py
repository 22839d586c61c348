"""`llamakeep import`: importing JSON files of other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import (
    get_or_add_user,
    get_user,
    open_database,
    read_settings,
)
from llamakeep.cli.terminal import complain, give_up, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamakeep.cli.history_file import Entry
    from llamakeep.settings import Settings

BATCH = 256
"""How many entries are stored concurrently, so that they share commits."""
MOST_COMPLAINTS = 20


def import_history(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help='`{"history": [{"timestamp", "prompt", "response"}, …]}`, only its '
            "list, or one such list for each username.",
        ),
    ],
    *,
    user: Annotated[
        str | None,
        typer.Option(help="The user, if the file has no usernames."),
    ] = None,
    create_users: Annotated[
        bool,
        typer.Option(
            "--create-users",
            help="Create missing users; set passwords with `llamakeep user passwd`.",
        ),
    ] = False,
) -> None:
    """Add a file's entries to a history; importing it again adds nothing."""
    import asyncio

    from llamakeep.cli.history_file import BadHistory, read_history

    try:
        entries = read_history(file.read_bytes(), user)
    except BadHistory as error:
        for fault in error.faults[:MOST_COMPLAINTS]:
            complain(f"{file}: {fault}")
        if len(error.faults) > MOST_COMPLAINTS:
            complain(f"… and {len(error.faults) - MOST_COMPLAINTS} more.")
        give_up("Nothing was imported.")
    settings = read_settings()
    with progress("Importing", len(entries)) as advance:
        asyncio.run(
            add_entries(settings, entries, create_users=create_users, advance=advance)
        )
    for username in dict.fromkeys(entry.username for entry in entries):
        count = sum(entry.username == username for entry in entries)
        typer.echo(f"All {count} entries are in the history of {username}.")
    if not entries:
        typer.echo("There are no entries in the file.")


async def add_entries(
    settings: "Settings",
    entries: "list[Entry]",
    *,
    create_users: bool = False,
    advance: "Callable[[int], None]" = lambda _: None,
) -> None:
    """
    Store entries; one that is stored already is not added again.

    After each batch, `advance` is called with the number of its entries.

    Raises:
        InvalidRequest: There is no such user; nothing was stored.
    """
    import asyncio

    from llamakeep.storage.runs.lookups import IdempotencyKey

    find = get_or_add_user if create_users else get_user
    async with open_database(settings.database_url) as storage:
        usernames = dict.fromkeys(entry.username for entry in entries)
        users = {username: await find(storage, username) for username in usernames}
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            await asyncio.gather(
                *(
                    storage.add(
                        users[entry.username],
                        entry.prompt,
                        entry.response,
                        created_at=entry.at,
                        idempotency_key=IdempotencyKey(
                            f"import-{entry.digest.hex()}", entry.digest
                        ),
                    )
                    for entry in batch
                )
            )
            advance(len(batch))
