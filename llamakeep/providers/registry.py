"""The registry of providers, which finds the provider of a model."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from time import monotonic
from types import MappingProxyType
from typing import Any

from llamakeep.domain import Limits, Parameters, Price
from llamakeep.domain.runs import told_of
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
    Provider,
    is_reattachable,
)
from llamakeep.providers.capabilities import (
    able_model,
    capabilities_of,
    lacking,
    models_differ,
    needs_by_name,
    needs_of,
)
from llamakeep.providers.embedding import Embedder
from llamakeep.providers.facts import NO_FACTS, UpstreamFacts
from llamakeep.providers.local.installing import HOW_TO_CONFIGURE
from llamakeep.settings.upstreams import Step

log = logging.getLogger(__name__)

LONGEST_ADMISSION = 60.0
"""Seconds after which each prompt that was to go to a provider is known to be there."""

MOST_REMEMBERED = 10_000
"""Models of which it is remembered who serves them."""

LONGEST_QUESTION = 2
"""Seconds that a provider may take to say what its model is, where that only helps."""


class Registry:
    """
    The configured providers, in order of preference.

    The first one serves prompts that name no model, unless `default_model` does, as
    `provider:model` or as an alias. By the same names, `prices` replace the providers'.
    What is wrong with a configured one that is missing here is `fault`. What is said of
    each beside that is in `facts`.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        default_model: str | None = None,
        prices: Mapping[str, Price] = MappingProxyType({}),
        fault: str | None = None,
        aliases: Mapping[str, Sequence[Step]] = MappingProxyType({}),
        facts: Mapping[str, UpstreamFacts] = MappingProxyType({}),
        limits: Mapping[str, Limits] = MappingProxyType({}),
        roles: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        self._fault = fault
        self._prices = prices
        self._providers = {provider.name: provider for provider in providers}
        self.aliases = aliases
        """By name: the models that are asked in their order, equal ones together."""
        self.default_alias = default_model if default_model in aliases else None
        """The alias of prompts that name no model, if it is one."""
        self.limits = limits
        """By upstream or alias: what all users together may use of it."""
        self.roles = roles
        """By role: the models and aliases that its users may ask, if not all."""
        self._facts = facts
        self.extra_names = frozenset().union(
            *(each.extra_fields or () for each in facts.values())
        )
        """The fields of other servers that any provider takes."""
        self._default_model = default_model
        self._by_model: dict[str, Provider] = {}
        """Who serves a model that was named alone: there may be many providers."""
        self._retired: dict[Provider, float] = {}
        """Those that a new set-up has no more, and since when; runs may have them."""

    @property
    def by_name(self) -> Mapping[str, Provider]:
        """The providers by their names."""
        return self._providers

    @property
    def names(self) -> Sequence[str]:
        """The names of the providers."""
        return [*self._providers]

    def facts(self, provider: str) -> UpstreamFacts:
        """Return what is said of a provider."""
        return self._facts.get(provider, NO_FACTS)

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
            return await self.default_of(next(iter(self._providers.values())))
        if self.aliases and name in self.aliases:
            return await self._first_of(name)
        prefix, _, model = name.partition(":")
        if model and (named := self._providers.get(prefix)) is not None:
            if named.serves(model):
                return named, model
        else:
            if (found := self._by_model.get(name)) is not None:
                return found, name
            for provider in self._providers.values():
                if provider.serves(name):
                    if len(self._by_model) < MOST_REMEMBERED:
                        self._by_model[name] = provider
                    return provider, name
        raise UnknownModel(
            f"No provider here serves the model {name!r}; nothing was stored. Leave "
            "`model` out to use the default one, or write it as `provider:model` with "
            f"one of these providers: {', '.join(self._providers)}."
        )

    async def _first_of(self, alias: str) -> tuple[Provider, str]:
        """Return the first model behind an alias that there is."""
        for step in self.aliases[alias]:
            for member in step:
                if (provider := self._providers.get(member.upstream)) is not None:
                    return await self.model_at(provider, member.model)
        raise NoProvider(
            f"No upstream of the alias {alias!r} is configured on this server; nothing "
            "was stored. Correct it in llamakeep.toml."
        )

    async def model_at(
        self, provider: Provider, model: str | None
    ) -> tuple[Provider, str]:
        """Return a provider and its model, the default one if none is named."""
        return await self.default_of(provider) if model is None else (provider, model)

    async def default_of(self, provider: Provider) -> tuple[Provider, str]:
        """
        Return a provider and its default model, as far as it can say it.

        Raises:
            ProviderError: It cannot be asked, and has to be.
        """
        try:
            return provider, await provider.default_model()
        except ProviderError:
            if not provider.serves(DEFAULT_MODEL):
                raise
        # The prompt is stored, and fails if the provider still cannot be asked then.
        return provider, DEFAULT_MODEL

    async def check_parameters(
        self, provider: Provider, model: str, parameters: Parameters
    ) -> None:
        """
        Check that a provider's model supports the parameters.

        Raises:
            UnsupportedParameter: It names those that are not supported.
        """
        if parameters.embedding is not None:
            await self._check_embedding(provider, model, parameters.embedding)
            return
        parameters = told_of(parameters)
        needs, extra = needs_of(parameters), parameters.extra_fields or ()
        if extra and (allowed := self.facts(provider.name).extra_fields) is not None:
            self._check_extra(provider, extra, allowed)
        await self.check_needs(provider, model, needs, extra)
        has_schemas = parameters.response_format is not None or parameters.tools
        if has_schemas and isinstance(provider, ChecksSchemas):
            provider.check_schemas(parameters)
        if models_differ(provider):
            await provider.check_values(model, parameters)

    async def check_needs(
        self,
        provider: Provider,
        model: str,
        needs: Mapping[str, str | None],
        extra_fields: Collection[str] = (),
    ) -> None:
        """
        Check that a model can do what a request needs.

        Args:
            provider: The model's provider.
            model: The model's name there.
            needs: By the name or place of a field: the capability that it needs, or
                `None` if it is just a parameter.
            extra_fields: The names of the fields that are other servers'.

        Raises:
            UnsupportedParameter: It names the fields for which it cannot.
        """
        if refused := sorted(await lacking(provider, model, needs)):
            needed = [needs[name] or name for name in refused]
            if "extra_fields" in refused:
                refused = sorted({*refused, *extra_fields} - {"extra_fields"})
            raise UnsupportedParameter(
                f"The model {provider.name}:{model} cannot honour: "
                f"{', '.join(refused)}. Nothing was stored. Leave it out, or choose "
                "another model.",
                parameters=refused,
                needed=needed,
            )

    def _check_extra(
        self, provider: Provider, given: Collection[str], allowed: Collection[str]
    ) -> None:
        if refused := sorted({*given} - {*allowed}):
            raise UnsupportedParameter(
                f"The upstream {provider.name!r} is not handed: {', '.join(refused)}. "
                "Nothing was stored. Leave it out, or have the upstream's "
                "`extra_fields` name it.",
                parameters=refused,
            )

    async def _check_embedding(
        self, provider: Provider, model: str, wanted: Mapping[str, Any]
    ) -> None:
        can = await capabilities_of(provider, model)
        if can.embeddings is False or not isinstance(provider, Embedder):
            raise UnsupportedParameter(
                f"The model {provider.name}:{model} makes no vectors. Nothing was "
                "stored. Choose another model.",
                parameters=["model"],
                needed=["embeddings"],
            )
        refused = wanted.keys() - provider.embedding_options
        if "token_ids" in refused:
            raise UnsupportedParameter(
                f"The provider {provider.name!r} reads texts, and no ids of tokens, "
                "which are of another model's vocabulary. Nothing was stored. Send the "
                "texts themselves.",
                parameters=["input"],
            )
        if refused:
            raise UnsupportedParameter(
                f"The provider {provider.name!r} cannot honour: "
                f"{', '.join(sorted(refused))}. Nothing was stored. Leave it out.",
                parameters=sorted(refused),
            )

    async def able(
        self, names: Collection[str], *, may_ask: Callable[[str], bool]
    ) -> str | None:
        """Return a model that has parameters and capabilities, and may be asked."""
        needs = needs_by_name(names)
        for is_default in (True, False):
            for provider in self._providers.values():
                with suppress(LlamaKeepError, TimeoutError):
                    async with asyncio.timeout(LONGEST_QUESTION):
                        model = await able_model(
                            provider, needs, is_default=is_default, may_ask=may_ask
                        )
                        if model is not None:
                            return f"{provider.name}:{model}"
        return None

    async def default_name(self) -> str | None:
        """Return the default model as `provider:model`, if its provider says it."""
        with suppress(LlamaKeepError):
            provider, model = await self.resolve(None)
            if model != DEFAULT_MODEL:
                return f"{provider.name}:{model}"
        return None

    async def unsupported(
        self, provider: Provider, model: str, names: Collection[str]
    ) -> frozenset[str]:
        """Return those of the parameters and capabilities that a model lacks."""
        return await lacking(provider, model, needs_by_name(names))

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

        async def known(provider: Provider) -> Sequence[str]:
            models: Sequence[str] = ()
            with suppress(LlamaKeepError):
                models = await provider.models()
            return [f"{provider.name}:{model}" for model in models]

        default = await self.default_name()
        lists = await asyncio.gather(*map(known, self._providers.values()))
        found = [] if default is None else [default]
        return list(dict.fromkeys((*found, *chain.from_iterable(lists))))

    async def warm_up(self) -> None:
        """Prepare the default model's provider; a failure is logged."""
        try:
            provider, model = await self.resolve(None)
            if model == DEFAULT_MODEL:
                await provider.default_model()  # raises the reason
            await provider.warm_up()
        except LlamaKeepError as error:
            log.warning("no default model is available: %s", error.how_to_fix)

    def detach(self) -> None:
        """Let reattachable answers continue without this process."""
        for provider in (*self._providers.values(), *self._retired):
            if is_reattachable(provider):
                provider.detach()

    def become(self, other: "Registry") -> None:
        """Have what another one has; what is no more in use is closed later."""
        before, retired = self._providers.values(), self._retired
        vars(self).update(vars(other))
        now = [*self._providers.values()]
        self._retired = retired | {
            each: monotonic() for each in before if each not in now
        }

    async def close_retired(self, in_use: Collection[Provider | None]) -> None:
        """Close those that a new set-up has no more, unless a run has them or may."""
        until = monotonic() - LONGEST_ADMISSION
        for provider, since in [*self._retired.items()]:
            if since < until and provider not in in_use:
                del self._retired[provider]
                await provider.close()

    async def close(self) -> None:
        """Close all providers."""
        for provider in (*self._providers.values(), *self._retired):
            await provider.close()
