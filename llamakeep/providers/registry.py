"""Which provider answers for which model name."""

from collections.abc import Sequence

from llamakeep.errors import NoProvider, UnknownModel, UnsupportedParameter
from llamakeep.domain import Parameters
from llamakeep.providers.base import Provider

HOW_TO_CONFIGURE = (
    "Set REPLICATE_API_TOKEN (an account at Replicate), LLAMAKEEP_OPENAI_BASE_URL (any "
    "OpenAI-compatible server) or LLAMAKEEP_LOCAL_MODEL (a GGUF file, with "
    "`pip install 'llamakeep[local]'`), in the environment or in `.env`, and start the "
    "server again."
)


class Registry:
    """
    The configured providers, in the order in which they are preferred.

    Args:
        providers: The first one serves prompts that name no model.
        default_model: Serves them instead, as `provider:model`.
    """

    def __init__(
        self, providers: Sequence[Provider], *, default_model: str | None = None
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._default_model = default_model

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
            ProviderError: The provider could not be asked for its default model.
        """
        if not self._providers:
            raise NoProvider(f"Nothing was stored. {HOW_TO_CONFIGURE}")
        name = name or self._default_model
        if name is None:
            provider = next(iter(self._providers.values()))
            return provider, await provider.default_model()
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

    async def close(self) -> None:
        """Close all providers."""
        for provider in self._providers.values():
            await provider.close()


def check_parameters(provider: Provider, parameters: Parameters) -> None:
    """
    Refuse what `provider` cannot honour, rather than ignore it.

    Raises:
        UnsupportedParameter: It names them all.
    """
    if refused := provider.unsupported.intersection(parameters.given()):
        raise UnsupportedParameter(
            f"The provider {provider.name!r} cannot honour: {', '.join(sorted(refused))}. "
            "Nothing was stored. Leave it out, or choose another model."
        )
