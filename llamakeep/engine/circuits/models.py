"""
The circuit breaker of each model whose provider is not asked once, but for each prompt.

It opens when the provider says for how long it wants to be left alone, and when asking
has failed five times in a row. While it is open, prompts are kept and fail at once, and
their clients read when to come again. Afterwards it is half open: one prompt is
sent as a probe, and the others fail until that has its first word. Each process has its
own: what another one was told costs one request to find out.
"""

import time
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass

from llamakeep.domain import Run
from llamakeep.engine.circuits.breaker import CircuitState
from llamakeep.engine.circuits.rules import (
    FAILURES,
    LONGEST_PAUSE,
    MOST_PAUSES,
    PASSING,
    PROBE_TIME,
)
from llamakeep.errors import (
    ClientError,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
)
from llamakeep.providers.base import Event

PROBED_AGAIN = 1.0
"""Seconds after which those may come again who have to wait for a probe."""

MOST = 1000
"""How many models may have failed last; what is known of the oldest is forgotten."""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    open_until: float = 0
    error: ProviderError | None = None
    """Why it is open or half open; `None` while it is closed."""
    probe: str | None = None
    """The run that is sent first, until something is known of it."""
    probe_until: float = 0
    """When another run may be sent, if nothing is."""


class ModelBreakers:
    """All circuit breakers of this process; five failures open one for `pause`."""

    def __init__(
        self, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._clock = clock
        self.known: dict[tuple[str, str], _Breaker] = {}
        """Those that have failed last; mostly there are none, and nothing to ask."""

    def check(self, run: Run) -> None:
        """
        Refuse to send what would not be answered, or make `run` the probe.

        Raises:
            ProviderError: Why the breaker is not closed, and when to come again.
        """
        breaker = self.known.get((run.provider, run.model))
        if breaker is None or breaker.error is None:
            return
        now = self._clock()
        left = breaker.open_until - now
        if left <= 0:
            if breaker.probe is None or breaker.probe_until <= now:
                breaker.probe, breaker.probe_until = run.id, now + PROBE_TIME
                return
            left = PROBED_AGAIN
        error = copy(breaker.error)
        error.detail = (
            f"{error.detail.rstrip('.')}. This prompt was not sent there, and is kept. "
            "Send it again later."
        )
        error.args = (error.detail,)
        error.retry_after = left
        error.nothing_paid, error.was_tried = True, False
        raise error

    def is_open_now(self, provider: str, model: str) -> bool:
        """Return whether one lets nothing pass, not even a probe."""
        breaker = self.known.get((provider, model))
        return (
            breaker is not None
            and breaker.error is not None
            and breaker.open_until > self._clock()
        )

    def failing_at(self, provider: str) -> int:
        """Return how many models of a provider have failed last."""
        return sum(name == provider for name, _ in self.known)

    def states(self) -> Sequence[CircuitState]:
        """Return those that are not closed, as this process knows them."""
        now = self._clock()
        return [
            CircuitState(
                provider=provider,
                model=model,
                seconds_left=max(0, breaker.open_until - now),
                failures=breaker.failures,
                error_code=breaker.error.code,
            )
            for (provider, model), breaker in self.known.items()
            if breaker.error is not None
        ]

    def forget(self, providers: Collection[str]) -> None:
        """Ask these again, as they are other ones now."""
        for key in [key for key in self.known if key[0] in providers]:
            del self.known[key]

    def succeeded(self, run: Run) -> None:
        """Close the breaker: the model answers."""
        self.known.pop((run.provider, run.model), None)

    def received(self, run: Run, event: Event) -> None:
        """Let the others pass as well once the model says something."""
        if isinstance(event, str):
            self._close(run)

    def broke_off(self, run: Run, error: BaseException, *, is_answering: bool) -> None:
        """Learn from how a run ended that was let pass, and did not succeed."""
        if isinstance(error, ClientError):
            self._close(run)  # it reads prompts
        # A rate limit is one also where it is said within a stream.
        elif isinstance(error, ProviderRateLimited) or (
            isinstance(error, ProviderError) and not is_answering
        ):
            self.failed(run, error)
        breaker = self.known.get((run.provider, run.model))
        if breaker is not None and breaker.probe == run.id:
            breaker.probe = None  # another one goes first

    def _close(self, run: Run) -> None:
        """Let everything pass, unless the breaker was opened since `run` was sent."""
        breaker = self.known.get((run.provider, run.model))
        if breaker is not None and self._clock() >= breaker.open_until:
            breaker.error = breaker.probe = None

    def failed(self, run: Run, error: ProviderError) -> None:
        """Count a failure, if it says something about when the model can be asked."""
        if not isinstance(error, PASSING) or not error.was_connected:
            return
        key = run.provider, run.model
        # The newest is the last.
        breaker = self.known.pop(key, None) or _Breaker()
        self.known[key] = breaker
        if len(self.known) > MOST:
            del self.known[next(iter(self.known))]
        breaker.failures += 1
        too_many = breaker.failures - FAILURES
        seconds = 0.0
        if isinstance(error, ProviderRateLimited | ProviderUnavailable):
            seconds = min(error.retry_after or 0, LONGEST_PAUSE)
        if not seconds and (too_many >= 0 or breaker.probe == run.id):
            seconds = self._pause * min(2 ** max(0, too_many), MOST_PAUSES)
        if seconds:
            breaker.error = error
            breaker.open_until = max(breaker.open_until, self._clock() + seconds)
