"""Invitations: links with which people make accounts, once."""

from datetime import timedelta
from typing import Annotated, Self

from fastapi import Path, Query, Request
from pydantic import AwareDatetime, Field

from llamakeep.api.accounts.admin import Limit, ModelNames
from llamakeep.api.accounts.limits import LimitsBody
from llamakeep.api.accounts.login import UserResponse
from llamakeep.api.accounts.passwords import NewPassword, Secret, Username
from llamakeep.api.dependencies import AdminUser, actor_of
from llamakeep.api.http.links import origin_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.invitations import (
    DAYS,
    LONGEST_DAYS,
    LONGEST_EMAIL,
    issue_invitation,
)
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Invitation, UserRole
from llamakeep.errors import (
    AdminOnly,
    BodyTooLarge,
    InvalidRequest,
    InvitationNotFound,
    InvitationRefused,
    MalformedBody,
    ScopeMissing,
    ServerBusy,
    Unauthenticated,
)
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.text import SomeText
from llamakeep.services import services_of

router = Router(tags=["admin"])

_guarded = (Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest)
_with_body = (MalformedBody, BodyTooLarge)


class NewInvitation(Form):
    """An invitation to make."""

    email: Annotated[SomeText, Field(max_length=LONGEST_EMAIL)] | None = None
    """The recipient, for your list; nothing is sent."""
    role: UserRole | None = None
    """Of the user; without it, `user`."""
    limits: LimitsBody | None = None
    """Of the user; without them, those of the settings."""
    models: ModelNames | None = None
    """The only models and aliases that the user may ask; without them, all."""
    days: Annotated[int, Field(strict=True, ge=1, le=LONGEST_DAYS)] | None = None
    """For how many days it is valid; without it, 7."""


class InvitationResponse(Body):
    """An open invitation, without its token."""

    id: str
    email: str | None
    role: UserRole
    limits: LimitsBody | None
    models: list[str] | None
    """The only models and aliases that the user may ask; `null` for all."""
    created_at: AwareDatetime
    expires_at: AwareDatetime

    @classmethod
    def of(cls, invitation: Invitation, /, **more: str) -> Self:
        """Return the body for `invitation`."""
        return cls(
            id=invitation.id,
            email=invitation.email,
            role=invitation.role,
            limits=LimitsBody.of(invitation.limits),
            models=None if invitation.models is None else sorted(invitation.models),
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
            **more,
        )


class IssuedInvitation(InvitationResponse):
    """An invitation with its token, which is shown only once."""

    token: str
    """For `POST /invitations/accept`."""
    url: str
    """A page on which the person makes an account; it needs nothing else."""


class InvitationsResponse(Body):
    """A page of open invitations, newest first."""

    invitations: list[InvitationResponse]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""


class Acceptance(Form):
    """A name and a password, with an invitation."""

    token: Secret
    """The invitation's, from an administrator."""
    username: Username
    password: NewPassword


@router.get("/admin/invitations/", responses=problem_responses(*_guarded))
async def list_invitations(
    request: Request,
    admin: AdminUser,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(pattern=r"^inv_[0-9a-z]{26}$")] = None,
) -> InvitationsResponse:
    """List the invitations that are open, newest first."""
    found = await services_of(request).storage.list_invitations(
        before=cursor, limit=limit + 1
    )
    page = found[:limit]
    return InvitationsResponse(
        invitations=[InvitationResponse.of(each) for each in page],
        next_cursor=page[-1].id if len(found) > limit else None,
    )


@router.post(
    "/admin/invitations/",
    status_code=201,
    responses=problem_responses(*_guarded, *_with_body),
)
async def invite(
    body: NewInvitation, request: Request, admin: AdminUser
) -> IssuedInvitation:
    """Make a link with which a person makes an account, once. Only this has it."""
    invitation, token = issue_invitation(
        email=body.email,
        role=body.role or UserRole.USER,
        limits=body.limits.limits() if body.limits else None,
        models=body.models,
        lifetime=timedelta(days=body.days or DAYS),
    )
    await services_of(request).storage.add_invitation(
        invitation, digest(token), actor=actor_of(request, admin)
    )
    url = f"{origin_of(request)}/join#{token}"
    return IssuedInvitation.of(invitation, token=token, url=url)


@router.delete(
    "/admin/invitations/{invitation_id}",
    status_code=204,
    responses=problem_responses(*_guarded, InvitationNotFound),
)
async def revoke_invitation(
    invitation_id: Annotated[str, Path(max_length=64)],
    request: Request,
    admin: AdminUser,
) -> None:
    """Revoke an invitation, from the next request on."""
    await services_of(request).storage.revoke_invitation(
        invitation_id, actor=actor_of(request, admin)
    )


@router.post(
    "/invitations/accept",
    status_code=201,
    responses=problem_responses(
        InvitationRefused, InvalidRequest, ServerBusy, *_with_body
    ),
)
async def accept_invitation(body: Acceptance, request: Request) -> UserResponse:
    """Make an account by an invitation, with a name and a password."""
    services = services_of(request)
    # A hash takes 30 ms of CPU, so the token is checked first.
    token = digest(body.token)
    await services.storage.check_invitation(token)
    password_hash = await services.passwords.hash(body.password)
    user = await services.storage.accept_invitation(
        token, body.username, password_hash, actor=actor_of(request)
    )
    return UserResponse.of(user)
