"""`llamakeep key`: managing users' API keys."""

from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import (
    local_actor,
    open_user,
    read_settings,
)
from llamakeep.cli.terminal import print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamakeep.domain import ApiKey
    from llamakeep.settings import Settings

cli = typer.Typer(
    name="key",
    help="Manage users' API keys, also while a server is running.",
    no_args_is_help=True,
)

Username = Annotated[str, typer.Argument(help="The key's owner; case is ignored.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        help="`prompt`, `history`, `delete`, `keys` or (for administrators) `admin`; "
        "may be repeated. By default: `prompt` and `history`.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="The only models that it may use: `provider:model`, `provider:*` or an "
        "alias; may be repeated.",
    ),
]
Days = Annotated[
    int | None,
    typer.Option(
        "--days",
        min=1,
        max=36_500,
        help="After how many days it expires. By default: never.",
    ),
]
Keeps = Annotated[
    bool,
    typer.Option(
        "--keep/--no-keep",
        help="Whether the texts of its runs stay after their end.",
    ),
]


@cli.command()
def add(
    username: Username,
    name: Annotated[str, typer.Argument(help="A name, such as the program's.")],
    *,
    scope: Scopes = None,
    model: Models = None,
    days: Days = None,
    keeps: Keeps = True,
) -> None:
    """Create an API key, and print its secret, which cannot be shown again."""
    import asyncio

    made = add_key(
        read_settings(),
        username,
        name,
        scopes=scope,
        models=model,
        days=days,
        keeps=keeps,
    )
    typer.echo(asyncio.run(made))


@cli.command("list")
def list_keys(username: Username) -> None:
    """List a user's API keys that have not expired."""
    import asyncio

    print_rows(
        ("id", "name", "last characters", "scopes", "models", "last used", "expires"),
        (
            (
                key.id,
                key.name,
                key.hint,
                ",".join(sorted(key.scopes)),
                "all" if key.models is None else ",".join(sorted(key.models)),
                f"{key.last_used_at:%Y-%m-%dT%H:%M:%SZ}"
                if key.last_used_at
                else "never",
                f"{key.expires_at:%Y-%m-%dT%H:%M:%SZ}" if key.expires_at else "never",
            )
            for key in asyncio.run(keys_of(read_settings(), username))
        ),
    )


@cli.command()
def revoke(
    username: Username,
    key_id: Annotated[str, typer.Argument(help="As `llamakeep key list` shows it.")],
) -> None:
    """Revoke an API key, from the next request on."""
    import asyncio

    asyncio.run(revoke_key(read_settings(), username, key_id))
    typer.echo(f"The API key {key_id} is revoked.")


async def add_key(
    settings: "Settings",
    username: str,
    name: str,
    *,
    scopes: "Sequence[str] | None",
    models: "Sequence[str] | None",
    days: int | None,
    keeps: bool = True,
) -> str:
    """
    Create an API key, and return its secret.

    Raises:
        InvalidRequest: There is no such user or scope, or the name is invalid.
        TooManyApiKeys: The user has the largest number of keys.
    """
    from datetime import timedelta

    from llamakeep.credentials.api_keys import DEFAULT_SCOPES, issue_api_key
    from llamakeep.credentials.tokens import digest
    from llamakeep.domain import Scope, UserRole, utc_now
    from llamakeep.errors import FieldError, InvalidRequest

    if not name.strip() or len(name) > 64:
        message = "An API key's name has 1 to 64 characters."
        raise InvalidRequest(message, errors=[FieldError("name", message)])
    if unknown := sorted(set(scopes or ()) - set(Scope)):
        known = ", ".join(sorted(Scope))
        message = f"There is no scope {unknown[0]!r}. Choose from: {known}."
        raise InvalidRequest(message, errors=[FieldError("scopes", message)])
    key, secret = issue_api_key(
        name,
        scopes=[Scope(scope) for scope in scopes] if scopes else DEFAULT_SCOPES,
        models=models or None,
        expires_at=utc_now() + timedelta(days=days) if days else None,
        keeps=keeps,
    )
    async with open_user(settings, username) as (storage, user):
        if Scope.ADMIN in key.scopes and user.role is not UserRole.ADMIN:
            message = f"{user.username} is no administrator: leave that scope out."
            raise InvalidRequest(message, errors=[FieldError("scopes", message)])
        await storage.add_api_key(user, key, digest(secret), actor=local_actor())
    return secret


async def keys_of(settings: "Settings", username: str) -> "Sequence[ApiKey]":
    """Return a user's keys, newest first."""
    async with open_user(settings, username) as (storage, user):
        return await storage.list_api_keys(user)


async def revoke_key(settings: "Settings", username: str, key_id: str) -> None:
    """
    Revoke a key.

    Raises:
        ApiKeyNotFound: The user has no such key.
    """
    async with open_user(settings, username) as (storage, user):
        await storage.revoke_api_key(user, key_id, actor=local_actor())
