"""Providers that can be asked what they were asked for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeGuard, runtime_checkable

from llamakeep.providers.base import (
    Candidate,
    CompletionRequest,
    Provider,
    ReattachableProvider,
    is_reattachable,
)
from llamakeep.providers.kinds import by_type


@runtime_checkable
class SearchableProvider(ReattachableProvider, Protocol):
    """A provider that can be asked what it was asked for, without a handle."""

    marks_answers: bool
    """Whether requests carry the run's id, which proves whose an answer is."""

    async def find(
        self, request: CompletionRequest, *, within: timedelta
    ) -> Sequence[Candidate]:
        """
        Return what an earlier attempt at `request` may have created, oldest first.

        Unproven candidates are left out where one is proven. The request was made
        `within` that time by the provider's clock; our servers' may be wrong.

        Raises:
            ProviderError: The provider cannot be asked.
        """
        ...

    def now(self) -> datetime | None:
        """Return the provider's time, if its last response had it."""
        ...

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        """
        Return whether an answer carries the id of this request's run.

        Raises:
            ProviderError: The provider does not know it, or cannot be asked.
        """
        ...

    def hint(self, handle: str) -> None:
        """Poll an answer at once, if it is being waited for."""
        ...


@by_type
def is_searchable(provider: Provider | None) -> TypeGuard[SearchableProvider]:
    """Return whether what `provider` was asked for can be found without a handle."""
    return isinstance(provider, SearchableProvider)


def finds_again(provider: Provider | None) -> bool:
    """Return whether an answer can be had without a handle, and is paid for once."""
    return is_searchable(provider) or (
        is_reattachable(provider) and provider.is_idempotent
    )
