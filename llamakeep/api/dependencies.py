"""What routes are handed."""

from collections.abc import Collection, Sequence
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from llamakeep.api.accounts.demo import ACCESS_TOKENS
from llamakeep.api.http.readers import Readers
from llamakeep.credentials.tokens import digest, is_api_key, is_well_formed
from llamakeep.domain import Actor, ApiKey, Scope, User, UserRole, utc_now
from llamakeep.engine import Keeper
from llamakeep.errors import AdminOnly, ScopeMissing, Unauthenticated
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.accounts.api_keys import USE_INTERVAL


def settings_of(request: Request) -> Settings:
    """Return what the operator chose."""
    return request.app.state.settings  # type: ignore[no-any-return] # untyped bag


def storage_of(request: Request) -> Storage:
    """Return what is remembered."""
    return request.app.state.storage  # type: ignore[no-any-return] # untyped bag


def keeper_of(request: Request) -> Keeper:
    """Return the engine."""
    return request.app.state.keeper  # type: ignore[no-any-return] # untyped bag


def readers_of(request: Request) -> Readers:
    """Return what counts the answers that are being read."""
    return request.app.state.readers  # type: ignore[no-any-return] # untyped bag


def registry_of(request: Request) -> Registry:
    """Return who answers."""
    return request.app.state.registry  # type: ignore[no-any-return] # untyped bag


def actor_of(request: Request, user: User | None = None) -> Actor:
    """Return who sent the request, for the audit log."""
    return Actor(
        user=user,
        address=request.client.host if request.client else None,
        user_agent=request.headers.get("user-agent"),
    )


def presented(request: Request, schemes: Collection[str] = ("bearer",)) -> str:
    """
    Return the access token or API key in the request.

    Args:
        request: What came.
        schemes: How the header `Authorization` may begin, in lower case.

    Raises:
        Unauthenticated: There is none, or it cannot be one of ours.
    """
    headers = request.headers
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() not in schemes:
        keys = headers.getlist("x-api-key") if not scheme else []
        if len(set(keys)) > 1:
            raise Unauthenticated("There are several headers `X-API-Key`. Send one.")
        value = keys[0] if keys else ""
    value = value.strip()
    if not value:
        raise Unauthenticated(
            "Send the header `Authorization: Bearer …` with the token that "
            "`POST /login/` answers, or with an API key."
        )
    is_demo = value in ACCESS_TOKENS and settings_of(request).demo
    if not (is_demo or is_well_formed(value)):
        raise Unauthenticated(
            "This is not an access token or an API key of this server. Log in."
        )
    return value


class AuthUser(HTTPBearer):
    """
    Finds out whose access token a request carries.

    It is the security scheme of the OpenAPI document and the check itself: every
    dependency less makes each request faster.
    """

    schemes: Collection[str] = ("bearer",)
    """How the header `Authorization` may begin, in lower case."""

    async def __call__(  # type: ignore[override] # more than credentials
        self, request: Request, security_scopes: SecurityScopes
    ) -> User:
        """
        Return whose access token or API key it is.

        Args:
            request: What came.
            security_scopes: Of these, an API key needs one; without any, none.

        Raises:
            Unauthenticated: It is nobody's, or not any more.
            RateLimited: They sent too many requests.
            ScopeMissing: The API key was not made for this.
        """
        value = presented(request, self.schemes)
        storage = storage_of(request)
        if not is_api_key(value):
            user = await storage.find_user_by_access_token(digest(value))
            if user is None:
                raise Unauthenticated(
                    "This access token is not valid, or not any more. Log in again."
                )
            if "visit" in request.scope:
                await request.scope["visit"].count_user(user)
            return user
        user = await storage.find_user_by_api_key(digest(value))
        if user is None or user.api_key is None:
            raise Unauthenticated("This API key is not valid, or not any more.")
        if "visit" in request.scope:
            await request.scope["visit"].count_user(user)
        _check_scopes(user.api_key, security_scopes.scopes)
        last_use = user.api_key.last_used_at
        if last_use is None or utc_now() - last_use > USE_INTERVAL:
            await storage.note_use(user.api_key)
        return user


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
    description="The `token` that `POST /login/` answers, or an API key.",
)

LOGIN = "login"
"""A scope that no API key has."""

CurrentUser = Annotated[User, Depends(auth_user)]
"""Whoever is let in, with any API key."""
LoggedInUser = Annotated[User, Security(auth_user, scopes=[LOGIN])]
PromptingUser = Annotated[User, Security(auth_user, scopes=[Scope.PROMPT])]
FollowingUser = Annotated[
    User, Security(auth_user, scopes=[Scope.PROMPT, Scope.HISTORY])
]
"""Whoever may read a run whose id they know."""
ReadingUser = Annotated[User, Security(auth_user, scopes=[Scope.HISTORY])]
DeletingUser = Annotated[User, Security(auth_user, scopes=[Scope.DELETE])]
KeysUser = Annotated[User, Security(auth_user, scopes=[Scope.KEYS])]


async def admin_user(
    user: Annotated[User, Security(auth_user, scopes=[Scope.ADMIN])],
) -> User:
    """
    Return who it is, if they are an administrator now.

    Raises:
        AdminOnly: They are not.
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
"""What makes sending a request again the same as sending it once."""
