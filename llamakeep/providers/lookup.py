"""Whether a provider has a model."""

from llamakeep.errors import UnknownModel
from llamakeep.providers.base import ModelLookup, Provider


async def check_model_exists(provider: Provider, model: str) -> None:
    """
    Check that a provider has a model.

    Raises:
        UnknownModel: There is no such model.
        ProviderError: The provider could not be asked.
    """
    if isinstance(provider, ModelLookup) and not await provider.has_model(model):
        raise UnknownModel(f"The provider {provider.name!r} has no model {model!r}.")
