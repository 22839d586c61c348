"""`llamakeep invitation`: links with which people make accounts, once."""

from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import (
    local_actor,
    open_database,
    origin_of,
    page_of,
    read_settings,
)
from llamakeep.cli.terminal import print_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta

    from llamakeep.domain import Invitation, Limits
    from llamakeep.settings import Settings

cli = typer.Typer(
    name="invitation",
    help="Manage invitations: links with which people make accounts, once.",
    no_args_is_help=True,
)


@cli.command()
def add(
    email: Annotated[
        str | None,
        typer.Argument(help="The recipient, for the list; nothing is sent."),
    ] = None,
    *,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make the user an administrator.")
    ] = False,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="The user's limits, written as in LLAMAKEEP_USER_LIMITS.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="The only models that the user may ask: `provider:model`, "
            "`provider:*` or an alias. May be repeated.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=30, help="For how many days it is valid.")
    ] = 7,
) -> None:
    """Print a link with which a person chooses a name and a password, once."""
    import asyncio
    from datetime import timedelta

    settings = read_settings()
    made = invite(
        settings,
        email,
        is_admin=admin,
        limits=_read_limits(limits),
        models=models or None,
        lifetime=timedelta(days=days),
    )
    near = origin_of((settings.host, settings.port), is_near=True)
    typer.echo(page_of(settings, f"/join#{asyncio.run(made)}", origin=near))


@cli.command("list")
def list_invitations() -> None:
    """List the invitations that are open."""
    import asyncio

    print_rows(
        ("id", "role", "expires", "limits", "models", "for"),
        (
            (
                each.id,
                each.role,
                f"{each.expires_at:%Y-%m-%dT%H:%M:%SZ}",
                ",".join(f"{k}={v}" for k, v in each.limits.given().items())
                if each.limits
                else "",
                "all" if each.models is None else ",".join(sorted(each.models)),
                each.email or "",
            )
            for each in asyncio.run(open_invitations(read_settings()))
        ),
    )


@cli.command()
def revoke(
    invitation_id: Annotated[
        str, typer.Argument(help="As `llamakeep invitation list` shows it.")
    ],
) -> None:
    """Revoke an invitation, from the next request on."""
    import asyncio

    asyncio.run(revoke_invitation(read_settings(), invitation_id))
    typer.echo(f"The invitation {invitation_id} is revoked.")


def _read_limits(written: str | None) -> "Limits | None":
    from pydantic import TypeAdapter, ValidationError

    from llamakeep.domain import Limits

    if written is None:
        return None
    try:
        return TypeAdapter(Limits).validate_json(written)
    except ValidationError as error:
        [first, *_] = error.errors(include_input=False, include_url=False)
        where = ".".join(map(str, first["loc"]))
        message = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise typer.BadParameter(message, param_hint="--limits") from error


async def invite(
    settings: "Settings",
    email: str | None,
    *,
    is_admin: bool,
    limits: "Limits | None",
    models: "Collection[str] | None" = None,
    lifetime: "timedelta",
) -> str:
    """
    Make an invitation, and return its token.

    Raises:
        InvalidRequest: `email` is too long.
    """
    from llamakeep.credentials.invitations import issue_invitation
    from llamakeep.credentials.tokens import digest
    from llamakeep.domain import UserRole

    invitation, token = issue_invitation(
        email=email,
        role=UserRole.ADMIN if is_admin else UserRole.USER,
        limits=limits,
        models=models,
        lifetime=lifetime,
    )
    async with open_database(settings.database_url) as storage:
        await storage.add_invitation(invitation, digest(token), actor=local_actor())
    return token


async def open_invitations(settings: "Settings") -> "Sequence[Invitation]":
    """Return the invitations that are open, newest first."""
    async with open_database(settings.database_url) as storage:
        return await storage.list_invitations(limit=None)


async def revoke_invitation(settings: "Settings", invitation_id: str) -> None:
    """
    Revoke an invitation.

    Raises:
        InvitationNotFound: None of that id is open.
    """
    async with open_database(settings.database_url) as storage:
        await storage.revoke_invitation(invitation_id, actor=local_actor())
