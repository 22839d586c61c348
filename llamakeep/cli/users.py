"""`llamakeep user`: who may come in."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import get_user, open_database, read_settings
from llamakeep.cli.terminal import print_rows
from llamakeep.errors import FieldError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamakeep.domain import User
    from llamakeep.settings import Settings

cli = typer.Typer(
    name="user",
    help="Manage who may come in, also while a server is running.",
    no_args_is_help=True,
)

Username = Annotated[str, typer.Argument(help="Whatever its case.")]
FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input."),
]

_USERNAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


@cli.command()
def add(
    username: Annotated[
        str, typer.Argument(help="1 to 64 letters, digits and any of `._@-`.")
    ],
    *,
    password_stdin: FromStdin = False,
) -> None:
    """Create a user; the password is asked for."""
    import asyncio

    check_username(username)
    password = _read_password(from_stdin=password_stdin)
    asyncio.run(add_user(read_settings(), username, password))
    typer.echo(f"The user {username} can log in now.")


@cli.command("list")
def list_users() -> None:
    """List all users."""
    import asyncio

    print_rows(
        ("user", "created", "state"),
        (
            (
                user.username,
                f"{user.created_at:%Y-%m-%dT%H:%M:%SZ}",
                "disabled" if user.disabled_at else "enabled",
            )
            for user in asyncio.run(all_users(read_settings()))
        ),
    )


@cli.command()
def passwd(username: Username, *, password_stdin: FromStdin = False) -> None:
    """Set another password; who logged in with the old one is logged out."""
    import asyncio

    settings = read_settings()
    # Whoever mistyped the name learns it before choosing a password.
    asyncio.run(set_password(settings, username, None))
    password = _read_password(from_stdin=password_stdin)
    asyncio.run(set_password(settings, username, password))
    typer.echo(f"The password of {username} is changed.")


@cli.command()
def disable(username: Username) -> None:
    """Let a user in no more, from the next request on; the history stays."""
    import asyncio

    asyncio.run(enable_user(read_settings(), username, is_enabled=False))
    typer.echo(f"The user {username} is disabled.")


@cli.command()
def enable(username: Username) -> None:
    """Let a disabled user in again."""
    import asyncio

    asyncio.run(enable_user(read_settings(), username, is_enabled=True))
    typer.echo(f"The user {username} is enabled.")


def check_username(username: str) -> None:
    """
    Refuse names that are hard to type, to read or to keep apart.

    Raises:
        InvalidRequest: It says what a name may be.
    """
    if not _USERNAME.fullmatch(username):
        message = "A username has 1 to 64 letters, digits and any of ._@-"
        raise InvalidRequest(message, errors=[FieldError("username", message)])


async def add_user(settings: "Settings", username: str, password: str) -> None:
    """
    Create a user with a password that follows the rules.

    Raises:
        InvalidRequest: The name is taken, or the password is against the rules.
    """
    from llamakeep.security.passwords import check_password_rules

    check_password_rules(password)
    async with open_database(settings.database_url) as storage:
        await storage.add_user(username, await _hashed(password))


async def all_users(settings: "Settings") -> "Sequence[User]":
    """Return all users, by name."""
    async with open_database(settings.database_url) as storage:
        return await storage.list_users()


async def set_password(
    settings: "Settings", username: str, password: str | None
) -> None:
    """
    Change a password; with `None`, only make sure that there is such a user.

    Raises:
        InvalidRequest: There is no such user, or the password is against the rules.
    """
    from llamakeep.security.passwords import check_password_rules

    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        if password is not None:
            check_password_rules(password)
            await storage.set_password(user, await _hashed(password))


async def enable_user(settings: "Settings", username: str, *, is_enabled: bool) -> None:
    """
    Let a user in again, or no more.

    Raises:
        InvalidRequest: There is no such user.
    """
    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        if is_enabled:
            await storage.enable_user(user)
        else:
            await storage.disable_user(user)


async def _hashed(password: str) -> str:
    import asyncio

    from llamakeep.security.passwords import hash_password

    return await asyncio.to_thread(hash_password, password)


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(
        typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    )
