"""Creating, listing, rotating and revoking API keys."""

from datetime import timedelta
from typing import Annotated, Self

from fastapi import Path, Request
from pydantic import AwareDatetime, Field

from llamakeep.api.accounts.limits import LimitsBody
from llamakeep.api.dependencies import KeysUser, actor_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.api_keys import DEFAULT_SCOPES, issue_api_key
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Actor, ApiKey, Scope, User, UserRole, utc_now
from llamakeep.errors import (
    AdminOnly,
    ApiKeyNotFound,
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    ScopeMissing,
    TooManyApiKeys,
    Unauthenticated,
)
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.text import SomeText, Text
from llamakeep.services import services_of

router = Router(prefix="/keys", tags=["keys"])

LONGEST_OVERLAP = timedelta(days=30)

KeyId = Annotated[str, Path(max_length=64)]
Model = Annotated[Text, Field(min_length=1, max_length=256)]


class KeyRequest(Form):
    """An API key to create."""

    name: Annotated[SomeText, Field(max_length=64)]
    """For example the name of the program that will use it."""
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None
    """
    `prompt` (send prompts, follow and stop runs), `history` (read it), `delete` (delete
    runs), `keys` (create and revoke keys), `admin` (manage users; administrators only).
    By default, the first two.
    """
    models: Annotated[list[Model], Field(min_length=1, max_length=100)] | None = None
    """
    The only models that it may use: `provider:model`, `provider:*` for all of a
    provider's, or aliases. By default, all.
    """
    expires_at: AwareDatetime | None = None
    """By default, it does not expire."""
    limits: LimitsBody | None = None
    """Limits of the key, besides its owner's."""
    keeps: bool | None = None
    """`false`: the texts of its runs are erased when these end."""


OVERLAP = 3600
"""Seconds for which a rotated key keeps working by default."""


class RotateRequest(Form):
    """How long the old key keeps working."""

    overlap: (
        Annotated[
            int, Field(strict=True, ge=0, le=int(LONGEST_OVERLAP.total_seconds()))
        ]
        | None
    ) = None
    """Seconds for which the old key works beside the new one; by default, an hour."""


class KeyResponse(Body):
    """An API key, without its secret."""

    id: str
    name: str
    hint: str
    """The last characters of the secret."""
    scopes: list[Scope]
    models: list[str] | None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    limits: LimitsBody | None
    keeps: bool
    """Whether the texts of its runs are kept after their end."""

    @classmethod
    def of(cls, key: ApiKey, /, **more: str) -> Self:
        """Return the body for `key`."""
        return cls(
            id=key.id,
            name=key.name,
            hint=key.hint,
            scopes=sorted(key.scopes),
            models=None if key.models is None else sorted(key.models),
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            limits=LimitsBody.of(key.limits),
            keeps=key.keeps,
            **more,
        )


class NewKeyResponse(KeyResponse):
    """An API key with its secret, which is shown only once."""

    key: str
    """Send it as `Authorization: Bearer …`, or as `x-api-key`."""


class KeysResponse(Body):
    """A user's API keys, newest first."""

    keys: list[KeyResponse]


_guarded = (Unauthenticated, ScopeMissing)


@router.post(
    "/",
    status_code=201,
    responses=problem_responses(
        *_guarded,
        AdminOnly,
        MalformedBody,
        BodyTooLarge,
        InvalidRequest,
        TooManyApiKeys,
    ),
)
async def create_key(
    body: KeyRequest, request: Request, user: KeysUser
) -> NewKeyResponse:
    """Create an API key. Only this response has its secret."""
    return await create(body, user, request, actor_of(request, user))


async def create(
    body: KeyRequest, owner: User, request: Request, actor: Actor
) -> NewKeyResponse:
    """Create an API key of `owner`."""
    if body.expires_at is not None and body.expires_at <= utc_now():
        raise InvalidRequest.of(
            "expires_at", "This is over already. Name a later moment."
        )
    key, secret = issue_api_key(
        body.name,
        scopes=body.scopes or DEFAULT_SCOPES,
        models=body.models,
        expires_at=body.expires_at,
        limits=body.limits.limits() if body.limits else None,
        keeps=body.keeps is not False,
    )
    check_rights(owner, key)
    await services_of(request).storage.add_api_key(
        owner, key, digest(secret), actor=actor
    )
    return NewKeyResponse.of(key, key=secret)


@router.get("/", responses=problem_responses(*_guarded))
async def list_keys(request: Request, user: KeysUser) -> KeysResponse:
    """List the API keys that have not expired, newest first."""
    keys = await services_of(request).storage.list_api_keys(user)
    return KeysResponse(keys=[KeyResponse.of(key) for key in keys])


@router.get(
    "/{key_id}", responses=problem_responses(*_guarded, ApiKeyNotFound, InvalidRequest)
)
async def get_key(key_id: KeyId, request: Request, user: KeysUser) -> KeyResponse:
    """Return an API key: its scopes, models, limits and last use."""
    return KeyResponse.of(await services_of(request).storage.get_api_key(user, key_id))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    responses=problem_responses(
        *_guarded,
        AdminOnly,
        ApiKeyNotFound,
        MalformedBody,
        BodyTooLarge,
        InvalidRequest,
        TooManyApiKeys,
    ),
)
async def rotate_key(
    key_id: KeyId,
    request: Request,
    user: KeysUser,
    body: RotateRequest | None = None,
) -> NewKeyResponse:
    """
    Replace an API key by a new one; the old one expires after the overlap.

    The new key has the same name, scopes, models, limits and `keeps`, and the same
    lifetime from now on.
    """
    return await rotate(key_id, body, user, request, actor_of(request, user))


async def rotate(
    key_id: str,
    body: RotateRequest | None,
    owner: User,
    request: Request,
    actor: Actor,
) -> NewKeyResponse:
    """Replace an API key of `owner` by a new one."""
    storage = services_of(request).storage
    old = await storage.get_api_key(owner, key_id)
    lifetime = old.expires_at - old.created_at if old.expires_at else None
    key, secret = issue_api_key(
        old.name,
        scopes=old.scopes,
        models=old.models,
        expires_at=utc_now() + lifetime if lifetime else None,
        limits=old.limits,
        keeps=old.keeps,
    )
    check_rights(owner, key)
    wanted = body.overlap if body else None
    overlap = timedelta(seconds=OVERLAP if wanted is None else wanted)
    await storage.replace_api_key(
        owner, key_id, key, digest(secret), overlap=overlap, actor=actor
    )
    return NewKeyResponse.of(key, key=secret)


@router.delete(
    "/{key_id}",
    status_code=204,
    responses=problem_responses(*_guarded, ApiKeyNotFound, InvalidRequest),
)
async def revoke_key(key_id: KeyId, request: Request, user: KeysUser) -> None:
    """Revoke an API key, from the next request on."""
    await services_of(request).storage.revoke_api_key(
        user, key_id, actor=actor_of(request, user)
    )


def check_rights(user: User, key: ApiKey) -> None:
    """
    Refuse a key with more rights than `user`, or than the API key that creates it.

    Raises:
        AdminOnly: It has the scope `admin`, and the user is no administrator.
        ScopeMissing: It has more rights than the API key that creates it.
    """
    if Scope.ADMIN in key.scopes and user.role is not UserRole.ADMIN:
        raise AdminOnly(
            "Only administrators have API keys with the scope `admin`. Nothing was "
            "created. Leave that scope out."
        )
    mine = user.api_key
    if mine is None:
        return
    if mine.limits is not None:
        raise ScopeMissing(
            "An API key with limits cannot create others, which would have their own. "
            "Nothing was created. Log in."
        )
    if more := key.scopes - mine.scopes:
        raise ScopeMissing(
            f"An API key cannot create one with more rights; this one lacks "
            f"{', '.join(sorted(more))}. Nothing was created."
        )
    if mine.models is not None and not (key.models and key.models <= mine.models):
        raise ScopeMissing(
            "An API key cannot create one that may ask more models. Nothing was "
            f"created. Name some of: {', '.join(sorted(mine.models))}."
        )
    if key.keeps and not mine.keeps:
        raise ScopeMissing(
            "An API key whose texts are not kept cannot create one whose texts are. "
            "Nothing was created. Send `keeps` as false."
        )
    if mine.expires_at is not None and (
        key.expires_at is None or key.expires_at > mine.expires_at
    ):
        raise ScopeMissing(
            "An API key cannot create one that lasts longer. Nothing was created. "
            "Send `expires_at`."
        )
