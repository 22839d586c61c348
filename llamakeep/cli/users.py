"""`llamakeep user`: who may come in."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llamakeep.cli.environment import (
    get_user,
    local_actor,
    open_database,
    read_settings,
)
from llamakeep.cli.terminal import print_rows, read_password
from llamakeep.credentials.usernames import check_username

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamakeep.domain import User
    from llamakeep.settings import Settings

cli = typer.Typer(
    name="user",
    help="Manage who may come in, also while a server is running.",
    no_args_is_help=True,
)

LOOK = 0.1
"""Seconds between two looks whether a server has deleted all that was a user's."""

Username = Annotated[str, typer.Argument(help="Whatever its case.")]
FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input."),
]


@cli.command()
def add(
    username: Annotated[
        str, typer.Argument(help="1 to 64 letters, digits and any of `._@-`.")
    ],
    *,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make the user an administrator.")
    ] = False,
    password_stdin: FromStdin = False,
) -> None:
    """Create a user; the password is asked for."""
    import asyncio

    check_username(username)
    password = read_password(from_stdin=password_stdin, confirm=True)
    asyncio.run(add_user(read_settings(), username, password, is_admin=admin))
    kind = "administrator" if admin else "user"
    typer.echo(f"The {kind} {username} can log in now.")


@cli.command("list")
def list_users() -> None:
    """List all users."""
    import asyncio

    settings = read_settings()
    found = asyncio.run(all_users(settings))
    demo_only = asyncio.run(demo_users(settings))

    def state(user: "User") -> str:
        if user.disabled_at:
            return "disabled"
        return "demo mode only" if user.username in demo_only else "enabled"

    print_rows(
        ("user", "role", "created", "state"),
        (
            (
                user.username,
                user.role,
                f"{user.created_at:%Y-%m-%dT%H:%M:%SZ}",
                state(user),
            )
            for user in found
        ),
    )


@cli.command()
def passwd(username: Username, *, password_stdin: FromStdin = False) -> None:
    """Set another password; who logged in with the old one is logged out."""
    import asyncio

    settings = read_settings()
    # Whoever mistyped the name learns it before choosing a password.
    asyncio.run(set_password(settings, username, None))
    password = read_password(from_stdin=password_stdin, confirm=True)
    asyncio.run(set_password(settings, username, password))
    typer.echo(f"The password of {username} is changed.")


@cli.command()
def reset(username: Username) -> None:
    """Print a token with which the user chooses a password, once, within an hour."""
    import asyncio

    reset_token = asyncio.run(issue_reset(read_settings(), username))
    typer.echo(f"For {username}, to be sent to POST /password-reset/:", err=True)
    typer.echo(reset_token)


@cli.command()
def role(
    username: Username,
    role: Annotated[Literal["user", "admin"], typer.Argument(help="What they become.")],
) -> None:
    """Make a user an administrator, or not any more, from the next request on."""
    import asyncio

    asyncio.run(set_role(read_settings(), username, role))
    typer.echo(f"The role of {username} is {role}.")


@cli.command()
def retention(
    username: Username,
    days: Annotated[
        str,
        typer.Argument(
            help="After so many days, runs are deleted; `default` leaves it to "
            "LLAMAKEEP_RETENTION_DAYS."
        ),
    ],
) -> None:
    """Say for how long a user's runs are kept."""
    import asyncio

    from pydantic import TypeAdapter, ValidationError

    from llamakeep.settings.values import Days

    chosen = None
    if days != "default":
        try:
            chosen = TypeAdapter(Days).validate_python(days)
        except ValidationError as error:
            message = "a number from 1 to 36500, or `default`"
            raise typer.BadParameter(message, param_hint="DAYS") from error
    asyncio.run(set_retention(read_settings(), username, chosen))
    kept = "as long as the settings say" if chosen is None else f"{chosen} days"
    typer.echo(f"Runs of {username} are kept {kept}.")


@cli.command()
def delete(
    username: Username,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop a user's runs, and delete the user with the whole history, for good."""
    import asyncio

    if not yes:
        question = f"Delete {username} and all that is theirs, for good?"
        typer.confirm(question, abort=True, err=True)
    asyncio.run(delete_user(read_settings(), username))
    typer.echo(f"The user {username} is deleted.")


@cli.command()
def disable(username: Username) -> None:
    """
    Let a user in no more, from the next request on, and stop their runs.

    The history stays.
    """
    import asyncio

    asyncio.run(enable_user(read_settings(), username, is_enabled=False))
    typer.echo(f"The user {username} is disabled.")


@cli.command()
def enable(username: Username) -> None:
    """Let a disabled user in again."""
    import asyncio

    asyncio.run(enable_user(read_settings(), username, is_enabled=True))
    typer.echo(f"The user {username} is enabled.")


async def add_user(
    settings: "Settings", username: str, password: str, *, is_admin: bool = False
) -> None:
    """
    Create a user with a password that follows the rules.

    Raises:
        InvalidRequest: The name is taken, or the password is against the rules.
    """
    from llamakeep.credentials.passwords import check_password_rules
    from llamakeep.domain import UserRole

    check_password_rules(password)
    role = UserRole.ADMIN if is_admin else UserRole.USER
    async with open_database(settings.database_url) as storage:
        await storage.add_user(
            username, await _hashed(password), role=role, actor=local_actor()
        )


async def all_users(settings: "Settings") -> "Sequence[User]":
    """Return all users, by name."""
    async with open_database(settings.database_url) as storage:
        return await storage.list_users()


async def demo_users(settings: "Settings") -> set[str]:
    """Return the names of those who can only log in in demo mode, which is off."""
    from llamakeep.credentials.demo import PASSWORDS

    if settings.demo:
        return set()
    async with open_database(settings.database_url) as storage:
        known = {name: await storage.find_credentials(name) for name in PASSWORDS}
    return {name for name, one in known.items() if one and one.password_hash is None}


async def set_password(
    settings: "Settings", username: str, password: str | None
) -> None:
    """
    Change a password; with `None`, only make sure that there is such a user.

    Raises:
        InvalidRequest: There is no such user, or the password is against the rules.
    """
    from llamakeep.credentials.passwords import check_password_rules

    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        if password is not None:
            check_password_rules(password)
            hashed = await _hashed(password)
            await storage.set_password(user, hashed, actor=local_actor())


async def enable_user(settings: "Settings", username: str, *, is_enabled: bool) -> None:
    """
    Let a user in again, or no more.

    Raises:
        InvalidRequest: There is no such user.
        LastAdmin: Nobody would be left who can manage users.
    """
    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        await storage.change_user(
            user.id, is_disabled=not is_enabled, actor=local_actor()
        )


async def set_role(
    settings: "Settings", username: str, role: Literal["user", "admin"]
) -> None:
    """
    Let a user manage the others, or no more.

    Raises:
        InvalidRequest: There is no such user.
        LastAdmin: Nobody would be left who can manage users.
    """
    from llamakeep.domain import UserRole

    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        await storage.change_user(user.id, role=UserRole(role), actor=local_actor())


async def set_retention(settings: "Settings", username: str, days: int | None) -> None:
    """
    Keep a user's runs for so many days, or as long as the settings say.

    Raises:
        InvalidRequest: There is no such user.
    """
    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        await storage.set_retention(user.id, days, actor=local_actor())


async def delete_user(settings: "Settings", username: str) -> None:
    """
    Delete a user with all that is theirs, also while a server is running.

    When it breaks off, a server does the rest.

    Raises:
        InvalidRequest: There is no such user.
        LastAdmin: Nobody would be left who can manage users.
    """
    import asyncio

    from llamakeep.deletion.users import purge_one

    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        await storage.delete_user(user.id, actor=local_actor())
        while not await storage.is_purged(user):
            if not await purge_one(storage, user):  # a server was faster
                await asyncio.sleep(LOOK)


async def issue_reset(settings: "Settings", username: str) -> str:
    """
    Return a secret with which a user chooses a password.

    Raises:
        InvalidRequest: There is no such user.
    """
    from llamakeep.credentials.tokens import (
        RESET_LIFETIME,
        digest,
        new_reset_token,
    )

    reset_token = new_reset_token()
    async with open_database(settings.database_url) as storage:
        user = await get_user(storage, username)
        await storage.add_password_reset(
            user.id,
            digest(reset_token),
            lifetime=RESET_LIFETIME,
            actor=local_actor(),
        )
    return reset_token


async def _hashed(password: str) -> str:
    import asyncio

    from llamakeep.credentials.passwords import hash_password

    return await asyncio.to_thread(hash_password, password)
