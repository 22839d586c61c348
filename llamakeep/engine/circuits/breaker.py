"""One circuit breaker before an upstream, as this process knows it."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llamakeep.domain import utc_now
from llamakeep.errors import LlamaKeepError, ProviderRateLimited, from_code
from llamakeep.storage.runs.circuits import Circuit


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitState:
    """A circuit breaker that does not let everything pass."""

    provider: str
    model: str | None
    """`None` if it stands before all of the provider's."""
    seconds_left: float
    """How long it is open; 0 if it is half open: the next run is a probe."""
    failures: int
    """In a row."""
    error_code: str | None


class CircuitBreaker:
    """What this process knows of one, and the runs that wait there in their order."""

    def __init__(self, provider: str, *, has_waiting: bool) -> None:
        self.provider = provider
        self.has_waiting = has_waiting
        """Whether runs wait while it is open; else they are refused."""
        self.order = asyncio.Lock()
        self.probing_run: str | None = None
        """The run that is sent first, while it is not known what becomes of it."""
        self.probe: datetime | None = None
        """Until when it keeps the circuit open for all others."""
        self._circuit = Circuit(provider, utc_now())
        self._seen = time.monotonic()
        self._reason = ProviderRateLimited.code, ProviderRateLimited.title
        self._changed = asyncio.Event()

    @property
    def circuit(self) -> Circuit:
        """As it is now, as far as this process knows."""
        passed = timedelta(seconds=time.monotonic() - self._seen)
        return replace(self._circuit, now=self._circuit.now + passed)

    def see(self, circuit: Circuit) -> None:
        """Take note of how it is, and wake up the runs that wait."""
        self._circuit = circuit
        self._seen = time.monotonic()
        if circuit.error_code is not None:
            self._reason = circuit.error_code, circuit.error_detail or ""
        self._changed.set()
        self._changed.clear()

    @property
    def failures(self) -> int:
        """How many times in a row asking failed."""
        return self._circuit.failures

    @property
    def is_open(self) -> bool:
        """Whether no run passes, but for a probe when its time has passed."""
        return self._circuit.open_until is not None

    @property
    def seconds_left(self) -> float:
        """How long no run passes."""
        circuit = self.circuit
        if circuit.open_until is None:
            return 0
        return (circuit.open_until - circuit.now).total_seconds()

    def is_open_for(self, run_id: str) -> bool:
        """Whether a run has to wait."""
        return self.is_open and self.probing_run != run_id

    def probe_of(self, run_id: str) -> datetime | None:
        """Until when it is open for all others, if the run is the probe."""
        return self.probe if self.probing_run == run_id else None

    async def change(self) -> None:
        """Return when it has changed, or its time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds_left):
                await self._changed.wait()

    def refusal(self, what_became: str) -> LlamaKeepError:
        """Return what a run ends with that is not sent, and what became of it."""
        code, detail = self._reason
        error = from_code(
            code, f"{detail.rstrip('.')}. {what_became} Send it again later."
        )
        error.retry_after = max(self.seconds_left, 1)
        return error
