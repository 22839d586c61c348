"""What routes are handed."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from llamakeep.api.demo import ACCESS_TOKENS
from llamakeep.domain import User
from llamakeep.errors import Unauthenticated
from llamakeep.keeper import Keeper
from llamakeep.security.access_tokens import digest, is_well_formed
from llamakeep.settings import Settings
from llamakeep.storage import Storage

_bearer = HTTPBearer(
    auto_error=False, description="The `token` that `POST /login/` answers."
)


async def _settings(request: Request) -> Settings:
    return request.app.state.settings  # type: ignore[no-any-return] # untyped bag


async def _storage(request: Request) -> Storage:
    return request.app.state.storage  # type: ignore[no-any-return] # untyped bag


async def _keeper(request: Request) -> Keeper:
    return request.app.state.keeper  # type: ignore[no-any-return] # untyped bag


SettingsDep = Annotated[Settings, Depends(_settings)]
StorageDep = Annotated[Storage, Depends(_storage)]
KeeperDep = Annotated[Keeper, Depends(_keeper)]


async def access_token_digest(
    settings: SettingsDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> bytes:
    """
    Return the digest of the access token in the request.

    Raises:
        Unauthenticated: There is none, or it cannot be one of ours.
    """
    if credentials is None:
        raise Unauthenticated(
            "Send the header `Authorization: Bearer …` with the token that "
            "`POST /login/` answers."
        )
    value = credentials.credentials
    if not (is_well_formed(value) or (settings.demo and value in ACCESS_TOKENS)):
        raise Unauthenticated("This is not an access token of this server. Log in.")
    return digest(value)


AccessTokenDigest = Annotated[bytes, Depends(access_token_digest)]


async def auth_user(digest: AccessTokenDigest, storage: StorageDep) -> User:
    """
    Return whose access token the request carries.

    Raises:
        Unauthenticated: It is unknown, expired or revoked, or its user is disabled.
    """
    user = await storage.find_user_by_access_token(digest)
    if user is None:
        raise Unauthenticated(
            "This access token is not valid, or not any more. Log in again."
        )
    return user


CurrentUser = Annotated[User, Depends(auth_user)]
