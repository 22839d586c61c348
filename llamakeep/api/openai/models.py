"""OpenAI's models API."""

from typing import Any

from fastapi import Request, Response

from llamakeep import errors
from llamakeep.api.dependencies import CurrentUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.errors import error_responses
from llamakeep.api.openai.wire import json_response
from llamakeep.domain import Capabilities
from llamakeep.providers.capabilities import capabilities_of
from llamakeep.providers.described import described
from llamakeep.services import services_of

router = Router(prefix="/v1/models", tags=["openai"], queries=Queries.VENDORS)


@router.get(
    "", response_class=Response, responses=error_responses(errors.Unauthenticated)
)
async def models(request: Request, user: CurrentUser) -> Response:
    """List the models that providers are known to serve; the default comes first."""
    known = await described(services_of(request).registry)
    data = [_model(each.name, each.capabilities) for each in known]
    return json_response({"object": "list", "data": data})


@router.get(
    "/{model:path}",
    response_class=Response,
    responses=error_responses(
        errors.Unauthenticated,
        errors.UnknownModel,
        errors.NoProvider,
        errors.ProviderError,
        errors.ProviderTimeout,
    ),
)
async def model(model: str, request: Request, user: CurrentUser) -> Response:
    """Return a model, by its id here or its provider's name for it."""
    provider, name = await services_of(request).registry.find_model(
        model.removesuffix("/")
    )
    can = await capabilities_of(provider, name)
    return json_response(_model(f"{provider.name}:{name}", can))


def _model(name: str, can: Capabilities) -> dict[str, Any]:
    provider, _, model = name.partition(":")
    owner, slash, _ = model.partition("/")
    return {
        "id": name,
        "object": "model",
        "created": 0,  # unknown, but OpenAI's clients need a number
        "owned_by": owner if slash else provider,
        "capabilities": dict(can),  # not OpenAI's
    }
