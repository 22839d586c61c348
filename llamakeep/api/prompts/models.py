"""`GET /models/`."""

from typing import Self

from fastapi import Request

from llamakeep.api.dependencies import CurrentUser
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.domain import Capabilities
from llamakeep.errors import Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of

router = Router(tags=["prompt"])


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


class KnownModel(Body):
    """A model that may be asked."""

    model: str
    """`provider:model`, as prompts name it."""
    capabilities: CapabilitiesResponse


class ModelsResponse(Body):
    """The models that providers are known to serve, the default one first."""

    models: list[KnownModel]


@router.get("/models/", responses=problem_responses(Unauthenticated))
async def models(request: Request, user: CurrentUser) -> ModelsResponse:
    """List the models that providers are known to serve, and what these can do."""
    known = await services_of(request).registry.described()
    return ModelsResponse(
        models=[
            KnownModel(model=name, capabilities=CapabilitiesResponse.of(can))
            for name, can in known.items()
        ]
    )
