"""Circuit breakers: of each upstream, shared by all processes, and of each model."""

from collections.abc import Collection, Sequence
from time import monotonic

from llamakeep.domain import Run
from llamakeep.engine.circuits.breaker import CircuitState
from llamakeep.engine.circuits.models import ModelBreakers
from llamakeep.engine.circuits.upstreams import CircuitBreakers
from llamakeep.errors import ClientError, ProviderError, ProviderRateLimited
from llamakeep.providers.base import Event
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage

__all__ = ["CircuitState", "Circuits"]


class Circuits:
    """
    What is known of which upstreams and models are to be asked now.

    A rate limit is a model's, as are failures of one model alone. Where more than one
    model of an upstream fails, or its only one, the upstream does.
    """

    def __init__(
        self, settings: Settings, storage: Storage, registry: Registry
    ) -> None:
        self.upstreams = CircuitBreakers(settings, storage)
        self.models = ModelBreakers(settings.breaker_pause)
        self._registry = registry
        self._pause = settings.breaker_pause
        self._unreachable: dict[str, float] = {}
        """Until when those are passed by that could not be connected to."""
        self.upstreams.watch(registry)

    def is_open_now(self, provider: str, model: str) -> bool:
        """Return whether a model is not to be asked now, if there is another one."""
        return (
            self.is_unreachable(provider)
            or self.upstreams.is_open_now(provider)
            or self.models.is_open_now(provider, model)
        )

    def is_unreachable(self, provider: str) -> bool:
        """Return whether a provider could not be connected to a moment ago."""
        return self._unreachable.get(provider, 0) > monotonic()

    def not_connected(self, provider: str) -> None:
        """Have a provider passed by for a while: each prompt would wait there."""
        self._unreachable[provider] = monotonic() + self._pause

    def states(self) -> Sequence[CircuitState]:
        """Return those that are not closed, as far as this process knows."""
        return [*self.upstreams.states(), *self.models.states()]

    async def follow(self, changed: Collection[str]) -> None:
        """Follow the registry, in which those are new, other ones or gone."""
        self.models.forget(changed)
        for name in changed:
            self._unreachable.pop(name, None)
        self.upstreams.watch(self._registry)
        await self.upstreams.close(changed)

    async def check(self, run: Run) -> None:
        """
        Refuse to send what would not be answered, or make `run` the probe.

        Raises:
            LlamaKeepError: Why a circuit is not closed, and when to come again.
        """
        await self.upstreams.check(run)
        self.models.check(run)

    async def received(self, run: Run, event: Event) -> None:
        """Let the others pass as well once a model says something."""
        self.models.received(run, event)
        await self.upstreams.answered(run)

    async def broke_off(
        self, run: Run, error: BaseException, *, is_answering: bool
    ) -> None:
        """Learn from how a run ended that was let pass, and did not succeed."""
        self.models.broke_off(run, error, is_answering=is_answering)
        if isinstance(error, ClientError | ProviderRateLimited):
            await self.upstreams.answered(run)  # it reads prompts
        elif (
            isinstance(error, ProviderError)
            and error.was_connected
            and not is_answering
        ):
            is_only = self._registry.facts(run.provider).has_one_model
            are_more = self.models.failing_at(run.provider) > 1
            if is_only or are_more or self.upstreams.is_probe(run):
                await self.upstreams.failed(run, error)
