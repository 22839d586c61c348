"""What routes are handed."""

from collections.abc import Collection
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import HTTPBearer

from llamakeep.api.demo import ACCESS_TOKENS
from llamakeep.domain import User
from llamakeep.errors import Unauthenticated
from llamakeep.keeper import Keeper
from llamakeep.providers.registry import Registry
from llamakeep.security.access_tokens import digest, is_well_formed
from llamakeep.settings import Settings
from llamakeep.storage import Storage


def settings_of(request: Request) -> Settings:
    """Return what the operator chose."""
    return request.app.state.settings  # type: ignore[no-any-return] # untyped bag


def storage_of(request: Request) -> Storage:
    """Return what is remembered."""
    return request.app.state.storage  # type: ignore[no-any-return] # untyped bag


def keeper_of(request: Request) -> Keeper:
    """Return the engine."""
    return request.app.state.keeper  # type: ignore[no-any-return] # untyped bag


def registry_of(request: Request) -> Registry:
    """Return who answers."""
    return request.app.state.registry  # type: ignore[no-any-return] # untyped bag


def access_token_digest(
    request: Request, schemes: Collection[str] = ("bearer",)
) -> bytes:
    """
    Return the digest of the access token in the request.

    Args:
        request: What came.
        schemes: How the header `Authorization` may begin, in lower case.

    Raises:
        Unauthenticated: There is none, or it cannot be one of ours.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in schemes:
        raise Unauthenticated(
            "Send the header `Authorization: Bearer …` with the token that "
            "`POST /login/` answers."
        )
    value = value.strip()
    is_demo = value in ACCESS_TOKENS and settings_of(request).demo
    if not (is_demo or is_well_formed(value)):
        raise Unauthenticated("This is not an access token of this server. Log in.")
    return digest(value)


class AuthUser(HTTPBearer):
    """
    Finds out whose access token a request carries.

    It is the security scheme of the OpenAPI document and the check itself: every
    dependency less makes each request faster.
    """

    schemes: Collection[str] = ("bearer",)
    """How the header `Authorization` may begin, in lower case."""

    async def __call__(self, request: Request) -> User:  # type: ignore[override] # more than credentials
        """
        Return whose access token it is.

        Raises:
            Unauthenticated: It is nobody's, or not any more.
        """
        user = await storage_of(request).find_user_by_access_token(
            access_token_digest(request, self.schemes)
        )
        if user is None:
            raise Unauthenticated(
                "This access token is not valid, or not any more. Log in again."
            )
        return user


auth_user = AuthUser(
    scheme_name="AccessToken",
    description="The `token` that `POST /login/` answers.",
)

CurrentUser = Annotated[User, Depends(auth_user)]

IdempotencyHeader = Annotated[
    str | None,
    Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$"),
]
"""What makes sending a request again the same as sending it once."""
