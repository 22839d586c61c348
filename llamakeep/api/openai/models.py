"""OpenAI's models API."""

from typing import Any

from fastapi import Request, Response

from llamakeep import errors
from llamakeep.api.dependencies import CurrentUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.errors import error_responses
from llamakeep.api.openai.wire import json_response
from llamakeep.providers.capabilities import capabilities_of
from llamakeep.providers.described import ModelFacts
from llamakeep.services import services_of

router = Router(prefix="/v1/models", tags=["openai"], queries=Queries.VENDORS)


@router.get(
    "", response_class=Response, responses=error_responses(errors.Unauthenticated)
)
async def models(request: Request, user: CurrentUser) -> Response:
    """List the default model, aliases, and models that providers are known to serve."""
    services = services_of(request)
    known = await services.models.described()
    data = [_model(each) for each in services.access.listed(user, known)]
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
    """Return a model by its id here or its provider's name for it, or an alias."""
    services, asked = services_of(request), model.removesuffix("/")
    if asked in services.registry.aliases:
        known = await services.models.described()
        found = [each for each in known if each.name == asked]
        if not (allowed := services.access.listed(user, found)):
            raise services.access.refusal(user, asked)
        return json_response(_model(allowed[0]))
    provider, name = await services.access.find_model(user, asked)
    can = await capabilities_of(provider, name)
    facts = ModelFacts(f"{provider.name}:{name}", capabilities=can)
    return json_response(_model(facts))


def _model(facts: ModelFacts) -> dict[str, Any]:
    provider, _, model = facts.name.partition(":")
    owner, slash, _ = model.partition("/")
    return {
        "id": facts.name,
        "object": "model",
        "created": 0,  # unknown, but OpenAI's clients need a number
        "owned_by": owner if slash else provider if model else "llamakeep",
        # The others are not OpenAI's.
        "capabilities": dict(facts.capabilities),
        **({} if facts.alias_of is None else {"alias_of": facts.alias_of}),
    }
