"""Logging in and out."""

import secrets
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import Request, Response
from pydantic import AwareDatetime, ConfigDict, Field

from llamakeep.api.dependencies import LoggedInUser, actor_of, presented
from llamakeep.api.http.links import origin_of
from llamakeep.api.http.login_cookies import COOKIE_NAME, take_cookie
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials import demo
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User, UserRole
from llamakeep.errors import (
    BodyTooLarge,
    CountsUnavailable,
    InvalidRequest,
    MalformedBody,
    RateLimited,
    ScopeMissing,
    ServerBusy,
    TooManyAttempts,
    Unauthenticated,
    WrongCredentials,
)
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.json_text import JsonResponse
from llamakeep.schemas.text import Text
from llamakeep.services import services_of
from llamakeep.storage.accounts.users import Credentials

router = Router(tags=["login"])


class LoginRequest(Body):
    """A username and a password."""

    model_config = ConfigDict(extra="forbid")

    username: Annotated[Text, Field(min_length=1, max_length=64)]
    password: Annotated[Text, Field(min_length=1, max_length=1024)]


class LoginResponse(Body):
    """An access token."""

    token: str
    """Send it as `Authorization: Bearer …`. It is shown only once."""
    expires_at: AwareDatetime


class UserResponse(Body):
    """A user."""

    id: str
    username: str
    role: UserRole
    created_at: AwareDatetime

    @classmethod
    def of(cls, user: User, /) -> Self:
        """Return the body for `user`."""
        return cls(
            id=user.id,
            username=user.username,
            role=user.role,
            created_at=user.created_at,
        )


class EndSession(Body):
    """Where a browser ends its session at the identity provider as well."""

    end_session_url: str


REFUSALS = (
    MalformedBody,
    WrongCredentials,
    BodyTooLarge,
    InvalidRequest,
    TooManyAttempts,
    RateLimited,
    CountsUnavailable,
    ServerBusy,
)
"""Errors of logging in."""


@router.post("/login/", responses=problem_responses(*REFUSALS))
async def login(body: LoginRequest, request: Request) -> LoginResponse:
    """Exchange a username and a password for an access token."""
    access_token, expires_at, _ = await log_in(body, request)
    return LoginResponse(token=access_token, expires_at=expires_at)


async def log_in(
    body: LoginRequest, request: Request, *, is_cookie: bool = False
) -> tuple[str, datetime, timedelta]:
    """
    Return an access token of the user, when it expires, and its lifetime.

    Raises:
        WrongCredentials: There is no such user and password.
        TooManyAttempts: There were too many of those.
    """
    services = services_of(request)
    storage, throttle = services.storage, services.throttle
    address = request.client.host if request.client else None
    await throttle.check(body.username, address)
    known = await storage.find_credentials(body.username)
    user = await _verified(known, body, request)
    if user is None:
        await throttle.failed(body.username, address)
        await storage.add_failed_login(known.user if known else None, actor_of(request))
        raise WrongCredentials
    await throttle.succeeded(body.username, address)
    if services.settings.demo and user.username in demo.PASSWORDS:
        access_token, lifetime = f"token_{user.username}", demo.FOR_EVER
    else:
        access_token = new_access_token()
        lifetime = timedelta(seconds=services.settings.access_token_lifetime)
    expires_at = await storage.add_access_token(
        user,
        digest(access_token),
        lifetime=lifetime,
        is_cookie=is_cookie,
        actor=actor_of(request, user),
    )
    return access_token, expires_at, lifetime


async def _verified(
    known: Credentials | None, body: LoginRequest, request: Request
) -> User | None:
    """Return the user, if the password is right; takes equally long if it is not."""
    services = services_of(request)
    passwords = services.passwords
    is_demo = known is not None and known.user.username in demo.PASSWORDS
    if known is not None and is_demo and services.settings.demo:
        expected = demo.PASSWORDS[known.user.username]
        is_right = secrets.compare_digest(expected.encode(), body.password.encode())
        return known.user if is_right else None
    stored = None if known is None else known.password_hash
    if not await passwords.verify(stored, body.password):
        return None
    assert known is not None
    assert stored is not None
    if known.user.disabled_at is not None:
        return None
    if passwords.needs_rehash(stored):
        fresh = await passwords.hash(body.password)
        await services.storage.rehash_password(known.user, stored, fresh)
    return known.user


@router.post(
    "/logout/",
    status_code=204,
    response_model=None,
    responses=problem_responses(Unauthenticated, ScopeMissing)
    | {
        200: {"model": EndSession, "description": "The provider has a session, too."},
    },
)
async def logout(request: Request, user: LoggedInUser) -> Response:
    """
    Invalidate the access token of this request, from the next request on.

    A login with a cookie ends, and the cookie goes.
    """
    access_token = presented(request)
    take_cookie(request)
    if COOKIE_NAME in request.scope and access_token in demo.ACCESS_TOKENS:
        # Others in demo mode have the same one.
        return Response(status_code=HTTPStatus.NO_CONTENT)
    services = services_of(request)
    await services.storage.log_out(user, digest(access_token), actor_of(request, user))
    issuer = services.settings.oidc_issuer
    if COOKIE_NAME in request.scope and services.sign_in is not None:
        assert issuer is not None
        url = services.sign_in.end_session_url(f"{origin_of(request)}/")
        if url and await services.storage.has_identity(user, issuer):
            return JsonResponse(EndSession(end_session_url=url).model_dump())
    return Response(status_code=HTTPStatus.NO_CONTENT)
