"""What administrators do: manage users, and read what happened to accounts."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import Path, Query, Request, Response
from pydantic import AwareDatetime, Strict

from llamakeep.api.accounts.login import UserResponse
from llamakeep.api.accounts.passwords import NewPassword, Username
from llamakeep.api.dependencies import AdminUser, actor_of, keeper_of, storage_of
from llamakeep.api.http.bodies import Body, Form
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.passwords import Passwords
from llamakeep.credentials.tokens import RESET_LIFETIME, digest, new_reset_token
from llamakeep.deletion.users import purged
from llamakeep.domain import AuditEvent, AuditKind, User, UserRole
from llamakeep.errors import (
    AdminOnly,
    BodyTooLarge,
    InvalidRequest,
    LastAdmin,
    MalformedBody,
    ScopeMissing,
    ServerBusy,
    Unauthenticated,
    UserNotFound,
)
from llamakeep.settings.values import Days

router = Router(prefix="/admin", tags=["admin"])

UserId = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]

PATIENCE = 5.0
"""Seconds in which somebody's deletion may end before it is answered."""

_guarded = (Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest)
_with_body = (MalformedBody, BodyTooLarge)


class NewUserRequest(Form):
    """Who is to come in."""

    username: Username
    password: NewPassword | None = None
    """Without it, they choose one with a reset token; until then they stay out."""
    role: UserRole | None = None
    """Without it, `user`."""


class UserChange(Form):
    """What is to become of a user; what is left out stays."""

    role: UserRole | None = None
    disabled: bool | None = None
    """Who is disabled is out at once, and their runs stop; the history stays."""
    retention_days: Annotated[Days, Strict()] | None = None
    """Days after which their runs are deleted; `null` leaves it to the settings."""


class ManagedUser(UserResponse):
    """A user, as administrators see them."""

    disabled_at: AwareDatetime | None
    retention_days: int | None
    """Days after which their runs are deleted; `null` leaves it to the settings."""

    @classmethod
    def of(cls, user: User, /, retention_days: int | None = None) -> Self:
        """Return how `user` looks to administrators."""
        return cls(
            id=user.id,
            username=user.username,
            role=user.role,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
            retention_days=retention_days,
        )


class UsersResponse(Body):
    """A page of users, newest first."""

    users: list[ManagedUser]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""


class ResetResponse(Body):
    """What lets a user choose their password, once."""

    token: str
    """Give it to the user. It is shown this once."""
    expires_at: AwareDatetime


class AuditEntry(Body):
    """Something that happened to an account."""

    id: str
    at: AwareDatetime
    kind: AuditKind
    user_id: str | None
    """Whose account it is; `null` for a login as somebody who does not exist."""
    username: str | None
    actor_id: str | None
    """Who did it; `null` for whoever was not logged in, or on the command line."""
    actor_username: str | None
    api_key_id: str | None
    """The API key that it was done with."""
    detail: str | None
    address: str | None
    user_agent: str | None

    @classmethod
    def of(cls, event: AuditEvent, /) -> Self:
        """Return how `event` looks to administrators."""
        return cls.model_validate(event, from_attributes=True)


class AuditResponse(Body):
    """A page of the audit log, newest first."""

    events: list[AuditEntry]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""


@router.get("/users/", responses=problem_responses(*_guarded))
async def list_users(
    request: Request,
    admin: AdminUser,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(pattern=r"^user_[0-9a-z]{26}$")] = None,
) -> UsersResponse:
    """List all users, newest first."""
    users = await storage_of(request).page_of_users(before=cursor, limit=limit + 1)
    page = users[:limit]
    return UsersResponse(
        users=await _managed(request, *page),
        next_cursor=page[-1].id if len(users) > limit else None,
    )


@router.post(
    "/users/",
    status_code=201,
    responses=problem_responses(*_guarded, *_with_body, ServerBusy),
)
async def create_user(
    body: NewUserRequest, request: Request, admin: AdminUser
) -> ManagedUser:
    """Create a user."""
    passwords: Passwords = request.app.state.passwords
    hashed = None if body.password is None else await passwords.hash(body.password)
    user = await storage_of(request).add_user(
        body.username,
        hashed,
        role=body.role or UserRole.USER,
        actor=actor_of(request, admin),
    )
    return ManagedUser.of(user)


@router.get("/users/{user_id}", responses=problem_responses(*_guarded, UserNotFound))
async def get_user(user_id: UserId, request: Request, admin: AdminUser) -> ManagedUser:
    """Show a user."""
    [found] = await _managed(request, await storage_of(request).get_user(user_id))
    return found


@router.patch(
    "/users/{user_id}",
    responses=problem_responses(*_guarded, *_with_body, UserNotFound, LastAdmin),
)
async def change_user(
    user_id: UserId, body: UserChange, request: Request, admin: AdminUser
) -> ManagedUser:
    """Change a user's role or retention, disable or enable them, from now on."""
    storage, actor = storage_of(request), actor_of(request, admin)
    user = await storage.change_user(
        user_id, role=body.role, is_disabled=body.disabled, actor=actor
    )
    if "retention_days" in body.model_fields_set:
        await storage.set_retention(user_id, body.retention_days, actor=actor)
    if body.disabled:
        keeper_of(request).stop_runs(await storage.unfinished_runs(user))
    [changed] = await _managed(request, user)
    return changed


@router.delete(
    "/users/{user_id}",
    status_code=204,
    responses=problem_responses(*_guarded, UserNotFound, LastAdmin)
    | {
        204: {"description": "Nothing is left of the user."},
        202: {"description": "The user is gone; what was theirs is being deleted."},
    },
)
async def delete_user(user_id: UserId, request: Request, admin: AdminUser) -> Response:
    """
    Delete a user, whose runs are stopped, with all that is theirs, for good.

    The user is gone for everybody when this answers, and will not come back. A long
    history takes minutes to be deleted, also if the server stops meanwhile: then the
    answer is a 202, and the audit log has a `user.purged` when nothing is left.
    """
    user = await storage_of(request).get_user(user_id)
    await keeper_of(request).delete_user(user, actor=actor_of(request, admin))
    request.app.state.purging.begin()
    try:
        async with asyncio.timeout(PATIENCE):
            await purged(storage_of(request), user)
    except TimeoutError:
        return Response(status_code=HTTPStatus.ACCEPTED)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/users/{user_id}/reset",
    status_code=201,
    responses=problem_responses(*_guarded, UserNotFound),
)
async def issue_reset(
    user_id: UserId, request: Request, admin: AdminUser
) -> ResetResponse:
    """Make a token with which a user chooses a password, once and within an hour."""
    reset_token = new_reset_token()
    expires_at = await storage_of(request).add_password_reset(
        user_id,
        digest(reset_token),
        lifetime=RESET_LIFETIME,
        actor=actor_of(request, admin),
    )
    return ResetResponse(token=reset_token, expires_at=expires_at)


@router.get("/audit", responses=problem_responses(*_guarded))
async def audit(
    request: Request,
    admin: AdminUser,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(pattern=r"^event_[0-9a-z]{26}$")] = None,
) -> AuditResponse:
    """List what happened to accounts, newest first, for a year."""
    events = await storage_of(request).audit(before=cursor, limit=limit + 1)
    page = events[:limit]
    return AuditResponse(
        events=[AuditEntry.of(event) for event in page],
        next_cursor=page[-1].id if len(events) > limit else None,
    )


async def _managed(request: Request, *users: User) -> list[ManagedUser]:
    """Return how users look to administrators, with what was set for them."""
    known = await storage_of(request).retentions([user.id for user in users])
    return [
        ManagedUser.of(user, known[user.id].allowed if user.id in known else None)
        for user in users
    ]
