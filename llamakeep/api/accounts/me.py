"""A user's own account and retention."""

from typing import Annotated

from fastapi import Request
from pydantic import Strict

from llamakeep.api.accounts.login import UserResponse
from llamakeep.api.dependencies import CurrentUser, LoggedInUser, actor_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.domain import User
from llamakeep.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    ScopeMissing,
    Unauthenticated,
)
from llamakeep.schemas.bodies import Form
from llamakeep.services import services_of
from llamakeep.settings.values import Days

router = Router(tags=["login"])


class Myself(UserResponse):
    """Your account, and how long your runs are kept."""

    retention_days: int | None
    """Days after which your runs are deleted at your own wish; `null` for never."""
    longest_retention_days: int | None
    """Days after which they are deleted in any case; `null` for never."""
    keeps: bool
    """Whether the texts of your runs are kept after their end."""


class MyChange(Form):
    """Changes to your account."""

    retention_days: Annotated[Days, Strict()] | None
    """Delete your runs after so many days; `null` for the administrators' number."""


@router.get("/me/", responses=problem_responses(Unauthenticated))
async def me(request: Request, user: CurrentUser) -> Myself:
    """Return the user of this access token, and how long their runs are kept."""
    return await _myself(request, user)


@router.patch(
    "/me/",
    responses=problem_responses(
        MalformedBody, Unauthenticated, ScopeMissing, BodyTooLarge, InvalidRequest
    ),
)
async def change_me(body: MyChange, request: Request, user: LoggedInUser) -> Myself:
    """
    Set after how many days your runs are deleted.

    Older runs are deleted permanently within about an hour.
    """
    services = services_of(request)
    await services.storage.set_own_retention(
        user,
        body.retention_days,
        longest=services.settings.retention_days,
        actor=actor_of(request, user),
    )
    return await _myself(request, user)


async def _myself(request: Request, user: User) -> Myself:
    services = services_of(request)
    known = await services.storage.retentions([user.id])
    if user.id not in known:
        raise Unauthenticated
    longest = known[user.id].allowed or services.settings.retention_days
    return Myself(
        id=user.id,
        username=user.username,
        role=user.role,
        created_at=user.created_at,
        retention_days=known[user.id].own,
        longest_retention_days=longest,
        keeps=user.keeps,
    )
