"""What is known of the models that providers serve."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from llamakeep.domain import Capabilities, Price
from llamakeep.domain.capabilities import UNKNOWN
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.capabilities import capabilities_of
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.registry import LONGEST_QUESTION, Registry


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A known model, and what is known of it."""

    name: str
    """`provider:model`."""
    is_default: bool
    price: Price | None
    capabilities: Capabilities = UNKNOWN
    parameters: Sequence[str] | None = None
    """Those that it is not known to refuse; `None` if its provider did not say."""


async def described(
    registry: Registry, parameters: Collection[str] = ()
) -> Sequence[ModelFacts]:
    """
    Return known models, the default one first, and which of the parameters they take.

    What a provider does not say soon is not known.
    """
    default = await registry.default_name()

    async def describe(name: str) -> ModelFacts:
        prefix, _, model = name.partition(":")
        price = registry.price(prefix, model)
        known = ModelFacts(name, is_default=name == default, price=price)
        with suppress(LlamaKeepError, TimeoutError):
            async with asyncio.timeout(LONGEST_QUESTION):
                provider = registry.provider(prefix)
                can = await capabilities_of(provider, model)
                refused: Collection[str] = ()
                if parameters:
                    refused = await registry.unsupported(provider, model, parameters)
                takes = [each for each in parameters if each not in refused]
                return replace(known, capabilities=can, parameters=takes)
        return known

    return await asyncio.gather(*map(describe, await registry.models()))


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A configured provider, and what is known of it."""

    name: str
    default_model: str | None
    """As it calls it; `None` if it does not say soon, or has none."""
    is_running: bool | None
    """Whether the embedded model's process is there; `None` of other providers."""


async def providers_described(registry: Registry) -> Sequence[ProviderFacts]:
    """Return the configured providers, the preferred one first."""

    async def describe(name: str) -> ProviderFacts:
        provider = registry.provider(name)
        model = None
        with suppress(LlamaKeepError, TimeoutError):
            async with asyncio.timeout(LONGEST_QUESTION):
                model = await provider.default_model()
        is_running = None
        if isinstance(provider, LocalProvider):
            is_running = provider.is_running
        return ProviderFacts(name, model, is_running)

    return await asyncio.gather(*map(describe, registry.names))
