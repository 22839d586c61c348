"""Routes of administrators: users and password resets; others are included."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import Path, Query, Request, Response
from pydantic import AwareDatetime, Field, Strict

from llamakeep.api.accounts import audit, overview
from llamakeep.api.accounts.login import UserResponse
from llamakeep.api.accounts.passwords import NewPassword, Username
from llamakeep.api.dependencies import AdminUser, actor_of
from llamakeep.api.http.links import origin_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.tokens import RESET_LIFETIME, digest, new_reset_token
from llamakeep.deletion.users import purged
from llamakeep.domain import User, UserRole
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
    WrongKindOfUser,
)
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.fields import ModelName
from llamakeep.schemas.text import Text
from llamakeep.services import services_of
from llamakeep.settings.values import Days

router = Router(prefix="/admin", tags=["admin"])
router.routes.extend(audit.router.routes)
router.routes.extend(overview.router.routes)

UserId = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
ModelNames = Annotated[list[ModelName], Field(min_length=1, max_length=100)]

PATIENCE = 5.0
"""Seconds that a request waits for a user's data to be deleted."""

_guarded = (Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest)
_with_body = (MalformedBody, BodyTooLarge)


class NewUserRequest(Form):
    """A user to create."""

    username: Username
    password: NewPassword | None = None
    """Without it, the user cannot log in before choosing one with a reset token."""
    role: UserRole | None = None
    """Without it, `user`."""
    service_account: bool | None = None
    """`true`: it has no login, and administrators make its API keys."""


class UserChange(Form):
    """Changes to a user; fields that are left out stay as they are."""

    role: UserRole | None = None
    disabled: bool | None = None
    """A disabled user is logged out and their runs stop; the history stays."""
    retention_days: Annotated[Days, Strict()] | None = None
    """Days after which the user's runs are deleted; `null` for the settings' number."""
    keeps: bool | None = None
    """`false`: the texts of the user's runs are erased when these end."""
    models: ModelNames | None = None
    """
    The only models that the user may ask, with any API key: `provider:model`,
    `provider:*` for all of a provider's, or aliases. `null` for all.
    """


class ManagedUser(UserResponse):
    """A user with the fields that only administrators see."""

    disabled_at: AwareDatetime | None
    retention_days: int | None
    """Days after which the user's runs are deleted; `null` for the settings' number."""
    keeps: bool
    """Whether the texts of the user's runs are kept after their end."""
    models: list[str] | None
    """The only models and aliases that the user may ask; `null` for all."""
    service_account: bool
    """Whether it has no login, and API keys that administrators make."""

    @classmethod
    def of(cls, user: User, /, retention_days: int | None = None) -> Self:
        """Return the body for `user`."""
        return cls(
            id=user.id,
            username=user.username,
            role=user.role,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
            retention_days=retention_days,
            keeps=user.keeps,
            models=None if user.models is None else sorted(user.models),
            service_account=user.is_service,
        )


class UsersResponse(Body):
    """A page of users, newest first."""

    users: list[ManagedUser]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""


class ResetResponse(Body):
    """A token with which a user chooses a password, once."""

    token: str
    """Give it to the user. It is shown this once."""
    url: str
    """A page on which the user does so, with the token; it needs nothing else."""
    expires_at: AwareDatetime


@router.get("/users/", responses=problem_responses(*_guarded))
async def list_users(
    request: Request,
    admin: AdminUser,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(pattern=r"^user_[0-9a-z]{26}$")] = None,
    q: Annotated[
        Text | None,
        Query(max_length=64, description="What names have in them, in any case."),
    ] = None,
) -> UsersResponse:
    """List users, newest first: all, or those with a part of a name."""
    users = await services_of(request).storage.page_of_users(
        before=cursor, limit=limit + 1, part=q
    )
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
    """Create a user, or a service account."""
    if body.service_account and body.password is not None:
        raise InvalidRequest.of(
            "password", "A service account has none. Leave it out. Nothing was created."
        )
    services = services_of(request)
    passwords = services.passwords
    hashed = None if body.password is None else await passwords.hash(body.password)
    user = await services.storage.add_user(
        body.username,
        hashed,
        role=body.role or UserRole.USER,
        is_service=body.service_account is True,
        actor=actor_of(request, admin),
    )
    return ManagedUser.of(user)


@router.get("/users/{user_id}", responses=problem_responses(*_guarded, UserNotFound))
async def get_user(user_id: UserId, request: Request, admin: AdminUser) -> ManagedUser:
    """Return a user."""
    [found] = await _managed(
        request, await services_of(request).storage.get_user(user_id)
    )
    return found


@router.patch(
    "/users/{user_id}",
    responses=problem_responses(*_guarded, *_with_body, UserNotFound, LastAdmin),
)
async def change_user(
    user_id: UserId, body: UserChange, request: Request, admin: AdminUser
) -> ManagedUser:
    """Change a user's role, models or what is kept; disable or enable them, at once."""
    services = services_of(request)
    storage, actor = services.storage, actor_of(request, admin)
    user = await storage.change_user(
        user_id, role=body.role, is_disabled=body.disabled, actor=actor
    )
    if "retention_days" in body.model_fields_set:
        await storage.set_retention(user_id, body.retention_days, actor=actor)
    if body.keeps is not None and body.keeps is not user.keeps:
        user = await storage.set_keeping(user_id, keeps=body.keeps, actor=actor)
    if "models" in body.model_fields_set:
        models = None if body.models is None else frozenset(body.models)
        user = await storage.set_models(user_id, models, actor=actor)
    if body.disabled:
        services.engine.stop_runs(await storage.unfinished_runs(user))
    [changed] = await _managed(request, user)
    return changed


@router.delete(
    "/users/{user_id}",
    status_code=204,
    responses=problem_responses(*_guarded, UserNotFound, LastAdmin)
    | {
        204: {"description": "The user and all their data are deleted."},
        202: {"description": "The user is deleted; their data is being deleted."},
    },
)
async def delete_user(user_id: UserId, request: Request, admin: AdminUser) -> Response:
    """
    Delete a user with all their data permanently; their runs are stopped.

    The user is deleted when this returns. A long history takes minutes more, in which
    the server may restart: then the status is 202, and the audit log gets a
    `user.purged` when all is deleted.
    """
    services = services_of(request)
    user = await services.storage.get_user(user_id)
    await services.engine.delete_user(user, actor=actor_of(request, admin))
    services.purging.begin()
    try:
        async with asyncio.timeout(PATIENCE):
            await purged(services.storage, user)
    except TimeoutError:
        return Response(status_code=HTTPStatus.ACCEPTED)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/users/{user_id}/reset",
    status_code=201,
    responses=problem_responses(*_guarded, UserNotFound, WrongKindOfUser),
)
async def issue_reset(
    user_id: UserId, request: Request, admin: AdminUser
) -> ResetResponse:
    """Create a token with which a user chooses a password, once and within an hour."""
    reset_token = new_reset_token()
    expires_at = await services_of(request).storage.add_password_reset(
        user_id,
        digest(reset_token),
        lifetime=RESET_LIFETIME,
        actor=actor_of(request, admin),
    )
    return ResetResponse(
        token=reset_token,
        url=f"{origin_of(request)}/reset#{reset_token}",
        expires_at=expires_at,
    )


async def _managed(request: Request, *users: User) -> list[ManagedUser]:
    known = await services_of(request).storage.retentions([user.id for user in users])
    return [
        ManagedUser.of(user, known[user.id].allowed if user.id in known else None)
        for user in users
    ]
