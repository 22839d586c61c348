"""API keys of other users, for administrators: making service accounts', revoking."""

from fastapi import Request

from llamakeep.api.accounts import keys
from llamakeep.api.accounts.admin import UserId
from llamakeep.api.accounts.keys import (
    KeyId,
    KeyRequest,
    KeyResponse,
    KeysResponse,
    NewKeyResponse,
    RotateRequest,
)
from llamakeep.api.dependencies import AdminUser, actor_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.domain import User
from llamakeep.errors import (
    AdminOnly,
    ApiKeyNotFound,
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    ScopeMissing,
    TooManyApiKeys,
    Unauthenticated,
    UserNotFound,
    WrongKindOfUser,
)
from llamakeep.services import services_of

router = Router(prefix="/admin/users/{user_id}/keys", tags=["admin"])

_guarded = (Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest, UserNotFound)
_making = (WrongKindOfUser, MalformedBody, BodyTooLarge, TooManyApiKeys)


@router.get("/", responses=problem_responses(*_guarded))
async def list_user_keys(
    user_id: UserId, request: Request, admin: AdminUser
) -> KeysResponse:
    """List a user's API keys that have not expired, newest first."""
    storage = services_of(request).storage
    found = await storage.list_api_keys(await storage.get_user(user_id))
    return KeysResponse(keys=[KeyResponse.of(key) for key in found])


@router.post("/", status_code=201, responses=problem_responses(*_guarded, *_making))
async def create_user_key(
    user_id: UserId, body: KeyRequest, request: Request, admin: AdminUser
) -> NewKeyResponse:
    """
    Create an API key of a service account. Only this response has its secret.

    It stays valid when the administrator who made it is disabled or deleted.
    """
    account = await _service_account(user_id, request)
    return await keys.create(body, account, request, actor_of(request, admin))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    responses=problem_responses(*_guarded, *_making, ApiKeyNotFound),
)
async def rotate_user_key(
    user_id: UserId,
    key_id: KeyId,
    request: Request,
    admin: AdminUser,
    body: RotateRequest | None = None,
) -> NewKeyResponse:
    """Replace an API key of a service account, as `POST /keys/{key_id}/rotate` does."""
    account = await _service_account(user_id, request)
    return await keys.rotate(key_id, body, account, request, actor_of(request, admin))


@router.delete(
    "/{key_id}",
    status_code=204,
    responses=problem_responses(*_guarded, ApiKeyNotFound),
)
async def revoke_user_key(
    user_id: UserId, key_id: KeyId, request: Request, admin: AdminUser
) -> None:
    """Revoke a user's API key, from the next request on."""
    storage = services_of(request).storage
    await storage.revoke_api_key(
        await storage.get_user(user_id), key_id, actor=actor_of(request, admin)
    )


async def _service_account(user_id: str, request: Request) -> User:
    """Return a service account: with a person's key, one could read their history."""
    user = await services_of(request).storage.get_user(user_id)
    if not user.is_service:
        raise WrongKindOfUser(
            f"{user.username} is no service account, and makes API keys themselves. "
            "Nothing was created."
        )
    return user
