"""What one process knows of a gate, and who waits there."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from llamakeep.domain import utc_now
from llamakeep.errors import LlamaKeepError, ProviderRateLimited, from_code
from llamakeep.storage.runs.gates import Gate


class Line:
    """Those in this process who wait at one gate, in the order in which they came."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.order = asyncio.Lock()
        self.prober: str | None = None
        """The run that goes first, while nothing is heard of it."""
        self.probe: datetime | None = None
        """Until when it closed the gate for all others."""
        self._gate = Gate(provider, utc_now())
        self._seen = time.monotonic()
        self._reason = ProviderRateLimited.code, ProviderRateLimited.title
        self._bell = asyncio.Event()

    @property
    def gate(self) -> Gate:
        """As it is now, as far as this process knows."""
        passed = timedelta(seconds=time.monotonic() - self._seen)
        return replace(self._gate, now=self._gate.now + passed)

    def see(self, gate: Gate) -> None:
        """Take note of how the gate is, and wake up who waits."""
        self._gate = gate
        self._seen = time.monotonic()
        if gate.error_code is not None:
            self._reason = gate.error_code, gate.error_detail or ""
        self._bell.set()
        self._bell.clear()

    @property
    def is_closed(self) -> bool:
        """Whether nobody goes, but one when its time has passed."""
        return self._gate.closed_until is not None

    @property
    def seconds_left(self) -> float:
        """How long nobody goes."""
        gate = self.gate
        if gate.closed_until is None:
            return 0
        return (gate.closed_until - gate.now).total_seconds()

    def is_closed_for(self, run_id: str) -> bool:
        """Whether a run has to wait."""
        return self.is_closed and self.prober != run_id

    def probe_of(self, run_id: str) -> datetime | None:
        """Until when the gate is closed for all others, if the run goes first."""
        return self.probe if self.prober == run_id else None

    async def change(self) -> None:
        """Return when the gate has changed, or its time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds_left):
                await self._bell.wait()

    def refusal(self) -> LlamaKeepError:
        """Return what a run ends with that has waited for too long."""
        code, detail = self._reason
        error = from_code(
            code,
            f"{detail} The prompt has waited its time without being asked, and is "
            "kept. Send it again later.",
        )
        error.retry_after = max(self.seconds_left, 1)
        return error
