"""
The circuit breaker of each model whose provider is not asked once, but for each prompt.

It opens when the provider says for how long it wants to be left alone, and when asking
has failed five times in a row. While it is open, prompts are kept and fail at once, and
their clients are told when to come again. Each process has its own: what another one
was told costs one request to find out.
"""

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from llamakeep.domain import Run
from llamakeep.errors import ProviderError, ProviderRateLimited, ProviderUnavailable
from llamakeep.keeper.gate import LONGEST_PAUSE
from llamakeep.keeper.gate_rules import FAILURES, MOST_PAUSES, PASSING

MOST = 1000
"""How many models may have failed last; what is known of the oldest is forgotten."""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    open_until: float = 0
    error: ProviderError | None = None


class Breakers:
    """
    All circuit breakers of this process.

    Args:
        pause: Seconds for which one is open after five failures in a row.
        clock: Seconds that only go on.
    """

    def __init__(
        self, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._clock = clock
        self.known: dict[tuple[str, str], _Breaker] = {}
        """Those that have failed last; mostly there are none, and nothing to ask."""

    def check(self, run: Run) -> None:
        """
        Refuse to send what would not be answered.

        Raises:
            ProviderError: Why the breaker is open, and for how long it stays so.
        """
        breaker = self.known.get((run.provider, run.model))
        if breaker is None or breaker.error is None:
            return
        left = breaker.open_until - self._clock()
        if left <= 0:
            return
        error = copy(breaker.error)
        error.detail = (
            f"{error.detail.rstrip('.')}. This prompt was not sent there, and is kept. "
            "Send it again later."
        )
        error.args = (error.detail,)
        error.retry_after = left
        raise error

    def succeeded(self, run: Run) -> None:
        """Close the breaker: the model answers."""
        self.known.pop((run.provider, run.model), None)

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
        if not seconds and too_many >= 0:
            seconds = self._pause * min(2**too_many, MOST_PAUSES)
        if seconds:
            breaker.error = error
            breaker.open_until = max(breaker.open_until, self._clock() + seconds)
