"""What is known of the models that providers serve, and of aliases."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

from llamakeep.domain import Capabilities, Price
from llamakeep.domain.capabilities import CAPABILITIES, UNKNOWN
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import DEFAULT_MODEL, Provider
from llamakeep.providers.capabilities import capabilities_of, models_differ
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.registry import LONGEST_QUESTION, Registry

CACHED = 5.0
"""Seconds for which what is known is shown again."""

ASKED_TOGETHER = 32
"""How many models of a provider are asked for at once, where that is needed."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A known model or alias, and what is known of it."""

    name: str
    """`provider:model`, or an alias."""
    is_default: bool = False
    price: Price | None = None
    """Of an alias, the dearest of its models."""
    capabilities: Capabilities = UNKNOWN
    """Of an alias, what any of its models can do."""
    parameters: Sequence[str] | None = None
    """Those that it is not known to refuse; `None` if its provider did not say."""
    members: "Sequence[ModelFacts] | None" = None
    """The models of an alias in their order; `None` of a model."""

    @property
    def alias_of(self) -> Sequence[str] | None:
        """The names of the models of an alias."""
        return None if self.members is None else [each.name for each in self.members]


@dataclass(frozen=True, slots=True)
class _Kept:
    providers: Mapping[str, Provider]
    until: float
    found: Sequence[ModelFacts]


class KnownModels:
    """
    Models and aliases; many readers at once ask the providers once.

    What a provider does not say soon is not known.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._order = asyncio.Lock()
        self._kept: dict[tuple[str, ...], _Kept] = {}

    async def described(self, parameters: tuple[str, ...] = ()) -> Sequence[ModelFacts]:
        """
        Return the default one, then aliases, then models.

        Of each, it is said which of these parameters it takes.
        """
        registry = self._registry
        async with self._order:
            kept = self._kept.get(parameters)
            is_old = kept is None or kept.providers is not registry.by_name
            if kept is None or is_old or kept.until <= monotonic():
                providers = registry.by_name  # another one if the file is read anew
                found = await _described(registry, parameters)
                kept = _Kept(providers, monotonic() + CACHED, found)
                self._kept[parameters] = kept
            return kept.found


async def _described(
    registry: Registry, parameters: tuple[str, ...]
) -> Sequence[ModelFacts]:
    default, models = await registry.default_name(), await registry.models()
    aliases = {name: await _members(registry, name) for name in registry.aliases}
    by_provider: dict[str, dict[str, None]] = {}
    for name in (*models, *(each for of in aliases.values() for each in of)):
        by_provider.setdefault(name.partition(":")[0], {})[name] = None
    facts: dict[str, ModelFacts] = {}

    async def describe(*providers: str) -> None:
        for each in providers:
            names = tuple(by_provider[each])
            await _describe(registry, each, names, parameters, facts)

    # Those that need not be asked for each model answer at once, one after the other.
    asked = [name for name in by_provider if _is_asked(registry, name)]
    others = [name for name in by_provider if name not in asked]
    await asyncio.gather(*map(describe, asked), describe(*others))
    found = [
        facts_of_alias(
            ModelFacts(name, parameters=parameters), [facts[each] for each in members]
        )
        for name, members in aliases.items()
    ] + [facts[name] for name in models]
    preferred = registry.default_alias or default
    return sorted(
        (
            replace(each, is_default=True) if each.name == preferred else each
            for each in found
        ),
        key=lambda each: not each.is_default,
    )


async def _members(registry: Registry, alias: str) -> Sequence[str]:
    """Return the models of an alias, as far as it is known which are the defaults."""
    found: dict[str, None] = {}
    for step in registry.aliases[alias]:
        for member in step:
            name = member.upstream
            with suppress(LlamaKeepError):
                provider = registry.provider(member.upstream)
                _, model = await registry.model_at(provider, member.model)
                if model != DEFAULT_MODEL:
                    name = f"{member.upstream}:{model}"
            found[name] = None
    return tuple(found)


async def _describe(
    registry: Registry,
    prefix: str,
    names: Sequence[str],
    parameters: tuple[str, ...],
    facts: dict[str, ModelFacts],
) -> None:
    """Add what is known of the models of a provider."""

    async def ask(name: str) -> None:
        _, _, model = name.partition(":")
        with suppress(LlamaKeepError):
            provider = registry.provider(prefix)
            can = await capabilities_of(provider, model)
            refused: Collection[str] = ()
            if parameters:
                refused = await registry.unsupported(provider, model, parameters)
            takes = [each for each in parameters if each not in refused]
            facts[name] = replace(facts[name], capabilities=can, parameters=takes)

    for name in names:
        price = registry.price(prefix, name.partition(":")[2])
        facts[name] = ModelFacts(name, price=price)
    is_asked = _is_asked(registry, prefix)
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_QUESTION):
            for place in range(0, len(names), ASKED_TOGETHER):
                some = names[place : place + ASKED_TOGETHER]
                if is_asked:
                    await asyncio.gather(*map(ask, some))
                else:
                    for name in some:
                        await ask(name)
                    await asyncio.sleep(0)  # there may be thousands


def _is_asked(registry: Registry, name: str) -> bool:
    """Return whether a provider may have to be asked for each of its models."""
    provider = registry.by_name.get(name)
    return provider is not None and models_differ(provider)


def facts_of_alias(alias: ModelFacts, members: Sequence[ModelFacts]) -> ModelFacts:
    """
    Return what is known of an alias with these models.

    One that can answer is chosen for a prompt. Of the parameters that `alias` has, it
    takes those that any of them takes.
    """
    prices = [each.price for each in members if each.price is not None]
    price = None
    if prices and len(prices) == len(members):
        price = Price(
            max(each.input for each in prices), max(each.output for each in prices)
        )
    known = [each.parameters for each in members if each.parameters is not None]
    taken = {each for takes in known for each in takes}
    return replace(
        alias,
        price=price,
        capabilities=Capabilities(
            **{each: _of_any(each, members) for each in CAPABILITIES}
        ),
        parameters=[each for each in alias.parameters or () if each in taken]
        if known
        else None,
        members=members,
    )


def _of_any(capability: str, members: Sequence[ModelFacts]) -> bool | None:
    """Return whether any of them can do that, if it is known."""
    can = {getattr(each.capabilities, capability) for each in members}
    if True in can:
        return True
    return None if None in can else False


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
