"""`GET /models/`."""

from dataclasses import fields
from typing import Self

from fastapi import Request

from llamakeep.api.dependencies import CurrentUser
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.prompts.request import PromptRequest
from llamakeep.domain import Capabilities, Parameters
from llamakeep.errors import Unauthenticated
from llamakeep.providers.described import ModelFacts
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of

router = Router(tags=["prompt"])

PARAMETERS = tuple(
    each.name for each in fields(Parameters) if each.name in PromptRequest.model_fields
)
"""The fields of prompts that models may take or refuse."""


class CapabilitiesResponse(Body):
    """What a model can do; `null` is not known, so it is asked and may refuse."""

    tools: bool | None
    """Call tools, by a parameter or described in the prompt."""
    parallel_tools: bool | None
    """Call several tools in one answer."""
    images: bool | None
    """See images."""
    json_schema: bool | None
    """Answer with JSON that a schema describes."""
    reasoning: bool | None
    """Think as much as `reasoning_effort` says."""
    logprobs: bool | None
    """Say how likely its tokens were."""
    n: bool | None
    """Give several answers to a prompt."""
    prefill: bool | None
    """Continue an assistant's message."""
    embeddings: bool | None
    """Turn texts into vectors."""

    @classmethod
    def of(cls, can: Capabilities) -> Self:
        """Return the body for `can`."""
        return cls.model_validate(can, from_attributes=True)


class PriceResponse(Body):
    """US dollars for a million tokens."""

    input_usd: float
    output_usd: float


class KnownModel(Body):
    """A model or an alias that may be asked."""

    model: str
    """`provider:model`, or an alias, as prompts name it."""
    alias_of: list[str] | None
    """
    The models of an alias in the order in which they are asked; `null` of a model. What
    an alias can do and takes is what any of its models does.
    """
    is_default: bool
    """Whether it answers prompts that name none."""
    capabilities: CapabilitiesResponse
    parameters: list[str] | None
    """
    Fields of `POST /prompt/` that it is not known to refuse; `null` if its provider
    cannot be asked just now.
    """
    price: PriceResponse | None
    """`null` if it is not known; of an alias, of the dearest of its models."""

    @classmethod
    def of(cls, model: ModelFacts) -> Self:
        """Return the body for `model`."""
        price = model.price
        return cls(
            model=model.name,
            alias_of=None if model.alias_of is None else [*model.alias_of],
            is_default=model.is_default,
            capabilities=CapabilitiesResponse.of(model.capabilities),
            parameters=None if model.parameters is None else [*model.parameters],
            price=None
            if price is None
            else PriceResponse(
                input_usd=float(price.input), output_usd=float(price.output)
            ),
        )


class ModelsResponse(Body):
    """The default one, then aliases, then models that providers are known to serve."""

    models: list[KnownModel]


@router.get("/models/", responses=problem_responses(Unauthenticated))
async def models(request: Request, user: CurrentUser) -> ModelsResponse:
    """
    List the aliases, and the models that providers are known to serve.

    With what each can do, if you may ask it. What is new of a provider is there after
    five seconds.
    """
    services = services_of(request)
    known = await services.models.described(PARAMETERS)
    allowed = services.access.listed(user, known)
    return ModelsResponse(models=[KnownModel.of(each) for each in allowed])
