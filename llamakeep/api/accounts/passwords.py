"""Changing and resetting passwords, and creating the first administrator."""

import hmac
from typing import Annotated

from fastapi import Request
from pydantic import Field

from llamakeep.api.accounts.login import UserResponse
from llamakeep.api.dependencies import LoggedInUser, actor_of, presented
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.passwords import LONGEST, SHORTEST
from llamakeep.credentials.tokens import digest, is_well_formed
from llamakeep.credentials.usernames import USERNAME
from llamakeep.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    ResetRefused,
    ScopeMissing,
    ServerBusy,
    SetupRefused,
    TooManyAttempts,
    Unauthenticated,
)
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.text import Text
from llamakeep.services import services_of

router = Router(tags=["accounts"])

Username = Annotated[str, Field(pattern=f"^{USERNAME}$")]
NewPassword = Annotated[Text, Field(min_length=SHORTEST, max_length=LONGEST)]
Secret = Annotated[Text, Field(min_length=1, max_length=256)]

_with_body = (MalformedBody, BodyTooLarge, InvalidRequest, ServerBusy)


class PasswordRequest(Form):
    """A new password."""

    current_password: Annotated[Text, Field(min_length=1, max_length=LONGEST)]
    password: NewPassword


class ResetRequest(Form):
    """A new password, with a reset token."""

    token: Secret
    """The reset token, from an administrator."""
    password: NewPassword


class SetupRequest(Form):
    """The first user, an administrator."""

    token: Secret
    """The set-up token that the server printed at its start."""
    username: Username
    password: NewPassword


@router.post(
    "/setup/", status_code=201, responses=problem_responses(SetupRefused, *_with_body)
)
async def set_up(body: SetupRequest, request: Request) -> UserResponse:
    """Create the first administrator, with the token that the server printed."""
    services = services_of(request)
    expected = services.setup.token_digest
    if expected is None or not hmac.compare_digest(expected, digest(body.token)):
        raise SetupRefused(
            "This is not the set-up token of this server, or it was used. Nothing was "
            "created. A server without users prints one when it starts; `llamakeep "
            "user add --admin` needs none."
        )
    password_hash = await services.passwords.hash(body.password)
    user = await services.storage.add_first_admin(
        body.username, password_hash, actor=actor_of(request)
    )
    services.setup.token_digest = None
    return UserResponse.of(user)


@router.post(
    "/me/password",
    status_code=204,
    responses=problem_responses(
        Unauthenticated, ScopeMissing, TooManyAttempts, *_with_body
    ),
)
async def change_password(
    body: PasswordRequest, request: Request, user: LoggedInUser
) -> None:
    """Change your password. Your other logins end; API keys stay valid."""
    services = services_of(request)
    storage, throttle = services.storage, services.throttle
    actor = actor_of(request, user)
    await throttle.check(user.username, actor.address)
    known = await storage.find_credentials(user.username)
    stored = None if known is None else known.password_hash
    # A stolen access token must not allow guessing the password.
    if not await services.passwords.verify(stored, body.current_password):
        await throttle.failed(user.username, actor.address)
        await storage.add_failed_login(user, actor)
        raise InvalidRequest.of(
            "current_password", "This is not your password. Nothing was changed."
        )
    await throttle.succeeded(user.username, actor.address)
    await storage.set_password(
        user,
        await services.passwords.hash(body.password),
        kept_login=digest(presented(request)),
        actor=actor,
    )


@router.post(
    "/password-reset/",
    status_code=204,
    responses=problem_responses(ResetRefused, *_with_body),
)
async def reset_password(body: ResetRequest, request: Request) -> None:
    """Choose a password with a reset token from an administrator."""
    services = services_of(request)
    # A hash takes 30 ms of CPU, so the token is checked first.
    wanted = digest(body.token if is_well_formed(body.token) else "")
    await services.storage.check_password_reset(wanted)
    password_hash = await services.passwords.hash(body.password)
    await services.storage.reset_password(
        wanted, password_hash, actor=actor_of(request)
    )
