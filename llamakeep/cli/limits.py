"""`llamakeep user limits`: setting a user's limits."""

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
