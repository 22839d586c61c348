"""`llamakeep user limits` and `models`: what a user may use, and may ask."""

from typing import TYPE_CHECKING, Annotated

import typer

from llamakeep.cli.environment import (
    local_actor,
    open_user,
    read_settings,
)
from llamakeep.cli.terminal import print_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llamakeep.domain import Limits
    from llamakeep.settings import Settings

Tokens = Annotated[int | None, typer.Option(min=0, max=10**15)]
Dollars = Annotated[float | None, typer.Option(min=0, max=10**9)]


def limits(
    username: Annotated[str, typer.Argument(help="The user; case is ignored.")],
    *,
    concurrent_runs: Annotated[int | None, typer.Option(min=0, max=1_000_000)] = None,
    tokens_per_day: Tokens = None,
    tokens_per_month: Tokens = None,
    dollars_per_day: Dollars = None,
    dollars_per_month: Dollars = None,
    end_user_prompts_per_day: Annotated[
        int | None, typer.Option(min=0, max=10_000)
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the limits set before.")
    ] = False,
) -> None:
    """
    Set a user's limits, from the next prompt on, and show them.

    Limits that are not named stay; for those never set, LLAMAKEEP_USER_LIMITS applies.
    """
    import asyncio

    wanted = {
        "concurrent_runs": concurrent_runs,
        "tokens_per_day": tokens_per_day,
        "tokens_per_month": tokens_per_month,
        "dollars_per_day": dollars_per_day,
        "dollars_per_month": dollars_per_month,
        "end_user_prompts_per_day": end_user_prompts_per_day,
    }
    known = asyncio.run(set_limits(read_settings(), username, wanted, clear=clear))
    if known is None:
        typer.echo(f"Nothing is set for {username}.")
    else:
        rows = ((name, str(value)) for name, value in known.given().items())
        print_rows((f"limit of {username}", "at most"), rows)


async def set_limits(
    settings: "Settings",
    username: str,
    wanted: "Mapping[str, int | float | None]",
    *,
    clear: bool,
) -> "Limits | None":
    """Change the limits of a user that are not `None`; return all that are set."""
    from pydantic import TypeAdapter

    from llamakeep.domain import Limits

    changes = {name: value for name, value in wanted.items() if value is not None}
    async with open_user(settings, username) as (storage, user):
        if not (changes or clear):
            return user.limits
        before = {} if clear or user.limits is None else user.limits.given()
        limits = TypeAdapter(Limits).validate_python(before | changes)
        changed = await storage.set_limits(
            user.id, None if limits == Limits() else limits, actor=local_actor()
        )
        return changed.limits


def models(
    username: Annotated[str, typer.Argument(help="The user; case is ignored.")],
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="The only models that they may ask: `provider:model`, `provider:*` or "
            "an alias."
        ),
    ] = None,
    *,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Let them ask all models.")
    ] = False,
) -> None:
    """Set which models and aliases a user may ask, and show them."""
    import asyncio

    if models and all_of_them:
        raise typer.BadParameter("Name models, or say --all.")
    wanted = frozenset(models or ())
    is_change = bool(wanted) or all_of_them
    known = asyncio.run(
        set_models(read_settings(), username, wanted or None, is_change=is_change)
    )
    if known is None:
        typer.echo(f"{username} may ask all models.")
    else:
        typer.echo(f"{username} may ask: {', '.join(sorted(known))}")


async def set_models(
    settings: "Settings",
    username: str,
    wanted: frozenset[str] | None,
    *,
    is_change: bool,
) -> frozenset[str] | None:
    """Set what a user may ask if that is a change; return what is set."""
    async with open_user(settings, username) as (storage, user):
        if not is_change:
            return user.models
        changed = await storage.set_models(user.id, wanted, actor=local_actor())
        return changed.models
