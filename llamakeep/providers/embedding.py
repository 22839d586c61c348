"""The port to providers that turn texts into vectors."""

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from llamakeep.providers.base import CompletionRequest, Event, Provider


@runtime_checkable
class Embedder(Provider, Protocol):
    """A provider that has models which turn texts into vectors."""

    embedding_options: frozenset[str]
    """What of `Parameters.embedding` it supports."""

    def embed(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """
        Make vectors of the texts in the prompt: one `Accepted`, one `Finished`.

        All of them are finite, and of the same length.

        Raises:
            PromptRejected: The provider read the texts and refused them.
            ProviderError: It failed for another reason.
        """
        ...


def embedded(
    provider: Provider, request: CompletionRequest
) -> AsyncGenerator[Event, None]:
    """Make vectors of a prompt's texts; the provider has to be an `Embedder`."""
    assert isinstance(provider, Embedder)
    return provider.embed(request)
