"""FastAPI dependencies of routes: shared services and authentication."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from llamakeep.api.http.headers import sole_header
from llamakeep.api.http.login_cookies import (
    COOKIE_NAME,
    give_cookie,
    token_in_cookie,
)
from llamakeep.credentials.demo import ACCESS_TOKENS
from llamakeep.credentials.tokens import digest, is_api_key, is_well_formed
from llamakeep.domain import Actor, ApiKey, Scope, User, UserRole, utc_now
from llamakeep.errors import (
    AdminOnly,
    ScopeMissing,
    StorageUnavailable,
    Unauthenticated,
)
from llamakeep.logs.context import SERVED
from llamakeep.services import services_of
from llamakeep.storage.accounts.api_keys import USE_INTERVAL

NO_CREDENTIALS = {"", "basic"}
"""
Schemes of `Authorization` that leave it to the login cookie who sends a request.

A proxy in front may ask for a password of its own, which browsers then send to us, too.
"""


def actor_of(request: Request, user: User | None = None) -> Actor:
    """Return the request's user and client, for the audit log."""
    return Actor(
        user=user,
        address=request.client.host if request.client else None,
        user_agent=request.headers.get("user-agent"),
    )


def presented(request: Request, schemes: Collection[str] = ("bearer",)) -> str:
    """
    Return the access token or API key in `Authorization` or `X-API-Key`.

    If neither is there, it is the access token in the login cookie.

    Raises:
        Unauthenticated: There is none, or its format is not this server's.
        HeaderRepeated: There are several.
        OriginRefused: The cookie was not sent by a page of this server.
    """
    scheme, _, value = sole_header(request, "Authorization").partition(" ")
    if scheme.lower() not in schemes:
        value = "" if scheme else sole_header(request, "X-API-Key")
    value = value.strip()
    if not value and scheme.lower() in NO_CREDENTIALS:
        value = token_in_cookie(request)
        if is_api_key(value):
            raise Unauthenticated("The login cookie has no access token. Log in again.")
    if not value:
        raise Unauthenticated(
            "Send the header `Authorization: Bearer …` with the token that "
            "`POST /login/` answers, or with an API key."
        )
    is_demo = value in ACCESS_TOKENS and services_of(request).settings.demo
    if not (is_demo or is_well_formed(value)):
        raise Unauthenticated(
            "This is not an access token or an API key of this server. Log in."
        )
    return value


class AuthUser(HTTPBearer):
    """
    Authenticates requests by access token or API key.

    It is the OpenAPI document's security scheme and the check in one, since each
    dependency costs time on every request.
    """

    schemes: Collection[str] = ("bearer",)
    """Permitted schemes of the header `Authorization`, in lower case."""

    async def __call__(  # type: ignore[override] # more than credentials
        self, request: Request, security_scopes: SecurityScopes
    ) -> User:
        """
        Return the user of the access token or API key.

        Raises:
            Unauthenticated: The token or key is unknown, expired or revoked.
            HeaderRepeated: There are several tokens or keys.
            OriginRefused: The login cookie was not sent by a page of this server.
            RateLimited: The user or API key sent too many requests.
            ScopeMissing: The API key has none of the scopes.
        """
        value = presented(request, self.schemes)
        storage = services_of(request).storage
        if is_api_key(value):
            user = await storage.find_user_by_api_key(digest(value))
            key = None if user is None else user.api_key
            if user is None or key is None:
                raise Unauthenticated("This API key is not valid, or not any more.")
        else:
            user, key = await storage.find_user_by_access_token(digest(value)), None
            if user is None:
                raise Unauthenticated(
                    "This access token is not valid, or not any more. Log in again."
                )
        if (served := SERVED.get()) is not None:
            served.user_id = user.id
        if "visit" in request.scope:
            await request.scope["visit"].count_user(user)
        if key is not None:
            _check_scopes(key, security_scopes.scopes)
            if key.last_used_at is None or utc_now() - key.last_used_at > USE_INTERVAL:
                await storage.note_use(key)
        elif COOKIE_NAME in request.scope:
            await _renew(request, value)
        return user


async def check_again(request: Request, scopes: Sequence[str]) -> None:
    """
    Refuse to go on with a response whose credential is not valid any more.

    It is no other request: nothing is counted, and no login renewed.

    Raises:
        Unauthenticated: The token or key has expired, or was revoked.
        ScopeMissing: The API key has none of the scopes.
    """
    value = presented(request)
    storage = services_of(request).storage
    is_key = is_api_key(value)
    find = storage.find_user_by_api_key if is_key else storage.find_user_by_access_token
    user = await find(digest(value))
    if user is None:
        raise Unauthenticated("This token or API key is not valid any more. Log in.")
    if user.api_key is not None:
        _check_scopes(user.api_key, scopes)


async def _renew(request: Request, access_token: str) -> None:
    """Extend the login of a cookie, if a part of its life is over."""
    services = services_of(request)
    if access_token in ACCESS_TOKENS:
        return
    lifetime = timedelta(seconds=services.settings.access_token_lifetime)
    with suppress(StorageUnavailable):  # the login is valid all the same
        if await services.storage.renew_login(digest(access_token), lifetime):
            give_cookie(request, access_token, lifetime)


def _check_scopes(key: ApiKey, wanted: Sequence[str]) -> None:
    if not wanted or not key.scopes.isdisjoint(wanted):
        return
    if LOGIN in wanted:
        raise ScopeMissing("No API key may do this. Log in.")
    names = " or ".join(f"`{scope}`" for scope in wanted)
    raise ScopeMissing(
        f"The API key {key.name!r} may not do this: it lacks the scope {names}. Log "
        "in, or use a key that has it."
    )


auth_user = AuthUser(
    scheme_name="AccessToken",
    description="The `token` that `POST /login/` answers, or an API key. Pages of this "
    "server use the cookie of `POST /login/cookie/` instead.",
)

LOGIN = "login"
"""A scope that no API key has."""

CurrentUser = Annotated[User, Depends(auth_user)]
"""The authenticated user; an API key needs no particular scope."""
LoggedInUser = Annotated[User, Security(auth_user, scopes=[LOGIN])]
PromptingUser = Annotated[User, Security(auth_user, scopes=[Scope.PROMPT])]
FollowingUser = Annotated[
    User, Security(auth_user, scopes=[Scope.PROMPT, Scope.HISTORY])
]
"""A user who may read one run by its id."""
ReadingUser = Annotated[User, Security(auth_user, scopes=[Scope.HISTORY])]
DeletingUser = Annotated[User, Security(auth_user, scopes=[Scope.DELETE])]
KeysUser = Annotated[User, Security(auth_user, scopes=[Scope.KEYS])]


async def admin_user(
    user: Annotated[User, Security(auth_user, scopes=[Scope.ADMIN])],
) -> User:
    """
    Return the user, who has to be an administrator.

    Raises:
        AdminOnly: The user is not one, or no longer.
    """
    if user.role is not UserRole.ADMIN:
        raise AdminOnly("Only administrators may do this; ask one of them.")
    return user


AdminUser = Annotated[User, Depends(admin_user)]

LONGEST_KEY = 255
KEY_PATTERN = r"^[\x21-\x7e]+$"
IdempotencyHeader = Annotated[
    str | None, Header(min_length=1, max_length=LONGEST_KEY, pattern=KEY_PATTERN)
]
"""The header `Idempotency-Key`."""
