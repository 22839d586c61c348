"""Replicate's models API."""

from collections.abc import Collection
from typing import Any

from fastapi import Request

from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.replicate.access import PREFIX, CurrentUser, Links
from llamakeep.api.replicate.names import (
    check_version,
    find_model,
    version_of,
    written,
)
from llamakeep.api.replicate.schemas import PARAMETERS, openapi_schema
from llamakeep.domain import User
from llamakeep.errors import (
    NoProvider,
    PathNotFound,
    ProviderError,
    ProviderTimeout,
    Unauthenticated,
    UnknownModel,
)
from llamakeep.providers.base import Provider
from llamakeep.providers.lookup import check_model_exists
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of

router = Router(prefix=PREFIX, tags=["replicate"], queries=Queries.VENDORS)

_responses = problem_responses(
    Unauthenticated, PathNotFound, NoProvider, ProviderError, ProviderTimeout
)
_BEGINNING = "1970-01-01T00:00:00.000000Z"
_COG = "0.16.9"
"""The version of Cog that writes schemas in this format."""


class Version(Body):
    """A version of a model; each model has one here."""

    id: str
    created_at: str
    """Unknown, so always 1970."""
    cog_version: str
    openapi_schema: dict[str, Any]
    """The model's input and output."""


class Model(Body):
    """A model of one of this server's providers."""

    url: str
    owner: str
    """The model's owner at its provider, or else the provider."""
    name: str
    description: str
    visibility: str
    github_url: None = None
    paper_url: None = None
    license_url: None = None
    run_count: int
    """Not counted, so always 0."""
    cover_image_url: None = None
    default_example: None = None
    latest_version: Version
    is_official: bool
    """Always true, so that clients run it by its name."""


class ModelPage(Body):
    """All models that providers are known to serve."""

    next: None = None
    previous: None = None
    results: list[Model]


class VersionPage(Body):
    """All versions of a model."""

    next: None = None
    previous: None = None
    results: list[Version]


@router.get("/models", responses=problem_responses(Unauthenticated))
async def list_models(request: Request, user: CurrentUser) -> ModelPage:
    """List models that providers are known to serve, and you may ask."""
    services, links = services_of(request), Links.of(request)
    registry, found = services.registry, []
    for known in filter(services.access.of(user), await registry.models()):
        name, _, model = known.partition(":")
        provider = registry.provider(name)
        # Providers are not asked for what they know of each.
        found.append(_model(provider, model, links, provider.unsupported))
    return ModelPage(results=found)


@router.get("/models/{owner}/{name}", responses=_responses)
async def get_model(
    owner: str, name: str, request: Request, user: CurrentUser
) -> Model:
    """Return a model with its input and output."""
    provider, model = await _found(request, owner, name, user)
    unsupported = await _unsupported(request, provider, model)
    return _model(provider, model, Links.of(request), unsupported)


@router.get("/models/{owner}/{name}/versions", responses=_responses)
async def list_versions(
    owner: str, name: str, request: Request, user: CurrentUser
) -> VersionPage:
    """List a model's only version."""
    provider, model = await _found(request, owner, name, user)
    unsupported = await _unsupported(request, provider, model)
    return VersionPage(results=[_version(provider, model, unsupported)])


@router.get("/models/{owner}/{name}/versions/{version_id}", responses=_responses)
async def get_version(
    owner: str, name: str, version_id: str, request: Request, user: CurrentUser
) -> Version:
    """Return a version with its input and output."""
    services, said = services_of(request), f"{owner}/{name}"
    try:
        with services.access.hiding(user, said):
            provider, model = await check_version(
                services.registry, owner, name, version_id
            )
        services.access.check(user, provider.name, model, said=said)
        await check_model_exists(provider, model)
    except UnknownModel as error:
        raise PathNotFound(error.detail) from error
    unsupported = await _unsupported(request, provider, model)
    return _version(provider, model, unsupported, version_id)


async def _unsupported(
    request: Request, provider: Provider, model: str
) -> Collection[str]:
    registry = services_of(request).registry
    return await registry.unsupported(provider, model, PARAMETERS)


async def _found(
    request: Request, owner: str, name: str, user: User
) -> tuple[Provider, str]:
    services, said = services_of(request), f"{owner}/{name}"
    try:
        with services.access.hiding(user, said):
            provider, model = await find_model(services.registry, owner, name)
        services.access.check(user, provider.name, model, said=said)
        await check_model_exists(provider, model)
    except UnknownModel as error:
        raise PathNotFound(error.detail) from error
    return provider, model


def _model(
    provider: Provider, model: str, links: Links, unsupported: Collection[str]
) -> Model:
    owner, name = written(provider.name, model)
    return Model(
        url=links.to(f"/models/{owner}/{name}"),
        owner=owner,
        name=name,
        description=f"Served by the provider {provider.name!r} of this llamakeep.",
        visibility="private",
        run_count=0,
        latest_version=_version(provider, model, unsupported),
        is_official=True,
    )


def _version(
    provider: Provider,
    model: str,
    unsupported: Collection[str],
    version_id: str | None = None,
) -> Version:
    return Version(
        id=version_id or version_of(provider.name, model),
        created_at=_BEGINNING,
        cog_version=_COG,
        openapi_schema=openapi_schema(unsupported),
    )
