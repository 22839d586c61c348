"""`llamakeep user`: managing users."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llamakeep.cli.environment import (
    local_actor,
    open_database,
    open_user,
    origin_of,
    page_of,
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
    help="Manage users, also while a server is running.",
    no_args_is_help=True,
)

LOOK = 0.1
"""Seconds between two checks whether a server has deleted a user's data."""

Username = Annotated[str, typer.Argument(help="The user; case is ignored.")]
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
    service: Annotated[
        bool,
        typer.Option(
            "--service",
            help="Make a service account: it has no password and no login, and "
            "programs use its API keys (`llamakeep key add`).",
        ),
    ] = False,
    password_stdin: FromStdin = False,
) -> None:
    """Create a user, with a prompt for the password, or a service account."""
    import asyncio

    check_username(username)
    if service:
        if password_stdin:
            raise typer.BadParameter(
                "It goes without `--service`: a service account has no password.",
                param_hint="--password-stdin",
            )
        made = add_service_account(read_settings(), username, is_admin=admin)
        asyncio.run(made)
        typer.echo(
            f"The service account {username} is there. Make its API keys with "
            f"`llamakeep key add {username} NAME`."
        )
        return
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
        if user.is_service:
            return "disabled service account" if user.disabled_at else "service account"
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
    """Set a user's password; all logins of the user end."""
    import asyncio

    settings = read_settings()
    # Check the username before the prompt for the password.
    asyncio.run(set_password(settings, username, None))
    password = read_password(from_stdin=password_stdin, confirm=True)
    asyncio.run(set_password(settings, username, password))
    typer.echo(f"The password of {username} is changed.")


@cli.command()
def reset(username: Username) -> None:
    """Print a token with which the user chooses a password, once, within an hour."""
    import asyncio

    settings = read_settings()
    reset_token = asyncio.run(issue_reset(settings, username))
    near = origin_of((settings.host, settings.port), is_near=True)
    page = page_of(settings, f"/reset#{reset_token}", origin=near)
    typer.echo(f"For {username}, to be opened in a browser:\n  {page}", err=True)
    typer.echo("or to be sent to POST /password-reset/:", err=True)
    typer.echo(reset_token)


@cli.command()
def role(
    username: Username,
    role: Annotated[Literal["user", "admin"], typer.Argument(help="The new role.")],
) -> None:
    """Change a user's role, from the next request on."""
    import asyncio

    asyncio.run(set_role(read_settings(), username, role))
    typer.echo(f"The role of {username} is {role}.")


@cli.command()
def retention(
    username: Username,
    days: Annotated[
        str,
        typer.Argument(
            help="Delete runs after so many days; `default` for "
            "LLAMAKEEP_RETENTION_DAYS."
        ),
    ],
) -> None:
    """Set for how long a user's runs are kept."""
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
def keep(
    username: Username,
    what: Annotated[
        Literal["texts", "no-texts"],
        typer.Argument(help="`no-texts`: erase the texts of a run at its end."),
    ],
) -> None:
    """Set whether the texts of a user's runs are kept, from the next prompt on."""
    import asyncio

    keeps = what == "texts"
    asyncio.run(set_keeping(read_settings(), username, keeps=keeps))
    kept = "are kept" if keeps else "are erased when these end"
    typer.echo(f"Texts of runs of {username} {kept}.")


@cli.command()
def delete(
    username: Username,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop a user's runs, and delete the user with the whole history permanently."""
    import asyncio

    if not yes:
        question = f"Delete {username} and all that is theirs, for good?"
        typer.confirm(question, abort=True, err=True)
    asyncio.run(delete_user(read_settings(), username))
    typer.echo(f"The user {username} is deleted.")


@cli.command()
def disable(username: Username) -> None:
    """
    Disable a user, from the next request on, and stop their runs.

    The history stays.
    """
    import asyncio

    asyncio.run(enable_user(read_settings(), username, is_enabled=False))
    typer.echo(f"The user {username} is disabled.")


@cli.command()
def enable(username: Username) -> None:
    """Enable a disabled user."""
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


async def add_service_account(
    settings: "Settings", username: str, *, is_admin: bool = False
) -> None:
    """
    Create a service account.

    Raises:
        InvalidRequest: The name is taken.
    """
    from llamakeep.domain import UserRole

    role = UserRole.ADMIN if is_admin else UserRole.USER
    async with open_database(settings.database_url) as storage:
        await storage.add_user(
            username, None, role=role, is_service=True, actor=local_actor()
        )


async def all_users(settings: "Settings") -> "Sequence[User]":
    """Return all users, sorted by name."""
    async with open_database(settings.database_url) as storage:
        return await storage.list_users()


async def demo_users(settings: "Settings") -> set[str]:
    """Return the demo users, who can log in in demo mode only, unless it is on."""
    from llamakeep.credentials.demo import PASSWORDS

    if settings.demo:
        return set()
    async with open_database(settings.database_url) as storage:
        known = {name: await storage.find_credentials(name) for name in PASSWORDS}
    return {
        name
        for name, one in known.items()
        if one and one.password_hash is None and not one.user.is_service
    }


async def set_password(
    settings: "Settings", username: str, password: str | None
) -> None:
    """
    Change a password; with `None`, only check that there is such a user.

    Raises:
        InvalidRequest: There is no such user, or the password is against the rules.
        WrongKindOfUser: It is a service account.
    """
    from llamakeep.credentials.passwords import check_password_rules
    from llamakeep.storage.accounts.users import check_is_person

    async with open_user(settings, username) as (storage, user):
        check_is_person(user)
        if password is not None:
            check_password_rules(password)
            hashed = await _hashed(password)
            await storage.set_password(user, hashed, actor=local_actor())


async def enable_user(settings: "Settings", username: str, *, is_enabled: bool) -> None:
    """
    Enable or disable a user.

    Raises:
        LastAdmin: The user is the last enabled administrator.
    """
    async with open_user(settings, username) as (storage, user):
        await storage.change_user(
            user.id, is_disabled=not is_enabled, actor=local_actor()
        )


async def set_role(
    settings: "Settings", username: str, role: Literal["user", "admin"]
) -> None:
    """
    Change a user's role.

    Raises:
        LastAdmin: The user is the last enabled administrator.
    """
    from llamakeep.domain import UserRole

    async with open_user(settings, username) as (storage, user):
        await storage.change_user(user.id, role=UserRole(role), actor=local_actor())


async def set_retention(settings: "Settings", username: str, days: int | None) -> None:
    """Set a user's retention in days, or `None` for that of the settings."""
    async with open_user(settings, username) as (storage, user):
        await storage.set_retention(user.id, days, actor=local_actor())


async def set_keeping(settings: "Settings", username: str, *, keeps: bool) -> None:
    """Set whether the texts of a user's runs are kept."""
    async with open_user(settings, username) as (storage, user):
        await storage.set_keeping(user.id, keeps=keeps, actor=local_actor())


async def delete_user(settings: "Settings", username: str) -> None:
    """
    Delete a user with all their data, also while a server is running.

    If it is interrupted, a server deletes the rest.

    Raises:
        LastAdmin: The user is the last enabled administrator.
    """
    import asyncio

    from llamakeep.deletion.users import purge_one

    async with open_user(settings, username) as (storage, user):
        await storage.delete_user(user.id, actor=local_actor())
        while not await storage.is_purged(user):
            if not await purge_one(storage, user):  # a server is purging the user
                await asyncio.sleep(LOOK)


async def issue_reset(settings: "Settings", username: str) -> str:
    """Return a reset token, with which the user chooses a password."""
    from llamakeep.credentials.tokens import (
        RESET_LIFETIME,
        digest,
        new_reset_token,
    )

    reset_token = new_reset_token()
    async with open_user(settings, username) as (storage, user):
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
