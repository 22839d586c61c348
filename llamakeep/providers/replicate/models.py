"""Which models there are at Replicate, and what each can do."""

import re
from collections.abc import Collection, Mapping, Sequence

from llamakeep.domain import Capabilities, Image, Parameters, Price
from llamakeep.domain.runs import TOOL_PARAMETERS
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.inputs import check_images
from llamakeep.providers.replicate.known_models import KnownModels
from llamakeep.providers.replicate.prices import PRICES
from llamakeep.providers.replicate.schemas import Schemas
from llamakeep.providers.replicate.transcripts import chat_template

_MODEL = re.compile(
    r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[0-9a-f]{64})?|[0-9a-f]{64}", re.ASCII
)


class Models:
    """
    The part of the provider that knows models.

    Where `is_prompting`, the prompt has what Llamas have no field for.
    """

    # Where nothing is known of a model: see `lacks`.
    unsupported = TOOL_PARAMETERS | {
        "response_format",
        "reasoning_effort",
        "verbosity",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "truncation",
        "service_tier",
        "extra_fields",
    }

    def __init__(
        self,
        api: ReplicateApi,
        default_model: str,
        *,
        is_prompting: bool,
        prices: Mapping[str, Price],
    ) -> None:
        self._prices = prices
        self._default_model = default_model
        self._is_prompting = is_prompting
        self._schemas = Schemas(api)
        self._known_models = KnownModels(self._schemas.fetch)

    async def default_model(self) -> str:
        """Return the model of the settings."""
        return self._default_model

    async def models(self) -> Sequence[str]:
        """Return the default model and the official Llamas; many others are served."""
        return list(dict.fromkeys([self._default_model, *PRICES]))

    def serves(self, model: str) -> bool:
        """Return whether `model` is `owner/name`, with or without version, or one."""
        return _MODEL.fullmatch(model) is not None

    async def has_model(self, model: str) -> bool:
        """Return whether Replicate has a model, as `ModelLookup.has_model` says."""
        return await self._known_models.has(model)

    def price(self, model: str) -> Price | None:
        """Return the price that was handed in, or what an official Llama costs."""
        return self._prices.get(model) or PRICES.get(model.partition(":")[0])

    async def lacks(self, model: str, parameters: Collection[str]) -> frozenset[str]:
        """Return those of the parameters that a model has no field for."""
        schema = await self._schemas.quick(model)
        if schema.is_known:
            return schema.lacks(parameters)
        return self.unsupported.intersection(parameters)

    async def check_values(self, model: str, parameters: Parameters) -> None:
        """Refuse values of parameters that a model does not take."""
        schema = await self._schemas.quick(model)
        schema.written(model, parameters)

    async def check_images(self, model: str, images: Sequence[Image]) -> None:
        """Refuse images that a model does not take."""
        check_images(images, await self._schemas.quick(model))

    async def capabilities(self, model: str) -> Capabilities:
        """Return what a model can do through its inputs, or by prompt."""
        schema = await self._schemas.quick(model)
        has_tools = schema.spelling("tools") is not None
        has_format = schema.spelling("response_format") is not None
        return Capabilities(
            tools=has_tools or self.prompts_tools(model),
            parallel_tools=has_tools or self.prompts_tools(model),
            images=schema.images is not None,
            json_schema=has_format or self.prompts_format(model),
            reasoning=schema.spelling("reasoning_effort") is not None,
            logprobs=False,
            prefill=schema.has_template and chat_template(model) is not None,
            embeddings=False,
        )

    def prompts_tools(self, model: str) -> bool:
        """Return whether a model is a LLaMA that knows the form of calls."""
        return self._prompts(model, "tools")

    def prompts_format(self, model: str) -> bool:
        """Return whether a model is a LLaMA, and has no field for the format."""
        return self._prompts(model, "response_format")

    def _prompts(self, model: str, parameter: str) -> bool:
        is_able = self._is_prompting and chat_template(model) is not None
        return is_able and self._schemas.known(model).spelling(parameter) is None

    async def stop_asking(self) -> None:
        """Stop asking Replicate for models."""
        await self._known_models.close()
        await self._schemas.close()
