"""
The circuit breaker before each reattachable provider: whether it may be asked now.

All processes on a database share it. It opens when the provider says so (429), and when
asking has failed five times in a row. When its time has passed, one run is sent as a
probe; if its provider answers, the others follow. What was begun before is not stopped.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llamakeep.domain import Run, RunStatus, utc_now
from llamakeep.engine.circuits import rules
from llamakeep.errors import (
    LlamaKeepError,
    ProviderError,
    ProviderRateLimited,
    StorageUnavailable,
    from_code,
)
from llamakeep.providers.base import CompletionRequest, Event, ReattachableProvider
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.circuits import Circuit

LONGEST_PAUSE = 300
"""Seconds for which one is open at most, whatever the provider says."""

UNSAID_PAUSE = 1
"""Seconds for which it is open if the provider does not say."""

STAGGER = 0.1
"""Seconds between two runs that have waited; Replicate takes 600 a minute."""

log = logging.getLogger(__name__)


class CircuitOpen(Exception):
    """The provider has not been asked, or has not listened; the run is to wait."""


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

    def __init__(self, provider: str) -> None:
        self.provider = provider
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


class CircuitBreakers:
    """This process's view of all of them."""

    def __init__(
        self, settings: Settings, storage: Storage, providers: Iterable[str]
    ) -> None:
        self._pause = settings.breaker_pause
        self._storage = storage
        self._breakers = {name: CircuitBreaker(name) for name in providers}
        self.has_probe = False
        """Whether any run may be a probe; mostly none is."""
        # What is seen is seen in the order in which it happened.
        self._watching = asyncio.Lock()

    def watch(self, providers: Iterable[str]) -> None:
        """Have a circuit breaker for each of these providers as well."""
        for name in providers:
            self._breakers.setdefault(name, CircuitBreaker(name))

    async def refresh(self) -> None:
        """Look at what other processes did, and earlier ones."""
        if not self._breakers:
            return
        async with self._watching:
            for circuit in await self._storage.circuits():
                if circuit.provider in self._breakers:
                    self._breakers[circuit.provider].see(circuit)

    def seconds_open(self, provider: str) -> float | None:
        """Return how long one stays open, if it is."""
        breaker = self._breakers.get(provider)
        if breaker is None or not breaker.is_open:
            return None
        return max(breaker.seconds_left, 1)

    def is_open_now(self, provider: str) -> bool:
        """Return whether one lets nothing pass, not even a probe."""
        breaker = self._breakers.get(provider)
        return breaker is not None and breaker.seconds_left > 0

    def states(self) -> Sequence[CircuitState]:
        """Return those that are not closed, as far as this process knows."""
        return [
            CircuitState(
                provider=name,
                model=None,
                seconds_left=max(0, breaker.seconds_left),
                failures=breaker.circuit.failures,
                error_code=breaker.circuit.error_code,
            )
            for name, breaker in self._breakers.items()
            if breaker.is_open
        ]

    def is_open_for(self, run: Run) -> bool:
        """Return whether `run` has to wait if its provider was not asked yet."""
        breaker = self._breakers.get(run.provider)
        return breaker is not None and breaker.is_open_for(run.id)

    def stops(self, run: Run) -> bool:
        """Return whether a run whose provider was not asked yet has to wait."""
        return run.status is RunStatus.QUEUED and self.is_open_for(run)

    async def enter(self, run: Run, *, give_up_at: float | None) -> None:
        """
        Wait until `run` may pass: until `leave`, it may be the probe.

        It waits until `give_up_at` by the event loop's clock.

        Raises:
            LlamaKeepError: Why it had to wait for so long.
        """
        if not self.stops(run):
            return
        breaker = self._breakers[run.provider]
        try:
            async with asyncio.timeout_at(give_up_at):
                await self._wait(breaker, run)
        except TimeoutError:
            raise breaker.refusal() from None

    async def probes(self, run: Run) -> bool:
        """Make `run` the probe of an open circuit, if it is time for one."""
        breaker = self._breakers.get(run.provider)
        if breaker is None or not breaker.is_open or breaker.seconds_left > 0:
            return False
        return await self._is_probe(breaker, run)

    async def leave(self, run: Run) -> None:
        """Let another run be the probe, if `run` was and nothing is known yet."""
        breaker = self._breakers.get(run.provider)
        if breaker is not None and (probe := breaker.probe_of(run.id)) is not None:
            self._end_probe(breaker)
            await self._change(breaker, lambda circuit: rules.given_up(circuit, probe))

    async def ask(
        self, provider: ReattachableProvider, request: CompletionRequest
    ) -> AsyncGenerator[Event, None]:
        """
        Answer `request`, as `Provider.answer` says, unless the circuit is open.

        Raises:
            CircuitOpen: It is, or it is now; the provider is not answering.
            LlamaKeepError: What `Provider.answer` raised.
        """
        breaker = self._breakers[provider.name]
        if breaker.is_open_for(request.run_id):
            raise CircuitOpen
        probe = breaker.probe_of(request.run_id)
        if probe is not None:
            # Of one that is followed, it is said at once that it was accepted.
            request = replace(request, is_followed=True)
        is_accepted = False
        try:
            async with aclosing(provider.answer(request)) as events:
                async for event in events:
                    yield event  # first, because it may have to be kept
                    if not is_accepted:
                        is_accepted = True
                        await self._succeeded(breaker, request.run_id, probe)
        except ProviderError as error:
            if is_accepted:
                raise
            await self._failed(breaker, request.run_id, probe, error)
            may_wait = isinstance(error, rules.PASSING) and not error.answer_may_exist
            if may_wait and breaker.is_open:
                raise CircuitOpen from error
            raise

    async def _wait(self, breaker: CircuitBreaker, run: Run) -> None:
        async with breaker.order:
            while True:
                if not breaker.is_open:
                    await asyncio.sleep(STAGGER)
                    if not breaker.is_open:
                        return
                elif breaker.seconds_left > 0:
                    await breaker.change()
                elif await self._is_probe(breaker, run):
                    return

    async def _is_probe(self, breaker: CircuitBreaker, run: Run) -> bool:
        before, circuit = await self._change(breaker, rules.probed)
        is_ours = circuit != before
        if is_ours:
            log.info("run %s finds out whether %s answers", run.id, circuit.provider)
            breaker.probing_run, breaker.probe = run.id, circuit.open_until
            self.has_probe = True
        return is_ours

    def _end_probe(self, breaker: CircuitBreaker) -> None:
        breaker.probing_run = None
        self.has_probe = any(each.probing_run for each in self._breakers.values())

    async def _succeeded(
        self, breaker: CircuitBreaker, run_id: str, probe: datetime | None
    ) -> None:
        if probe is None and not breaker.circuit.failures:
            return
        if breaker.probing_run == run_id:
            self._end_probe(breaker)
        await self._change(breaker, lambda circuit: rules.succeeded(circuit, probe))

    async def _failed(
        self,
        breaker: CircuitBreaker,
        run_id: str,
        probe: datetime | None,
        error: ProviderError,
    ) -> None:
        if not (isinstance(error, rules.PASSING) and error.was_tried):
            return  # it says nothing about whether the provider answers
        if breaker.probing_run == run_id:
            self._end_probe(breaker)
        if isinstance(error, ProviderRateLimited):
            said = UNSAID_PAUSE if error.retry_after is None else error.retry_after
            seconds = min(said, LONGEST_PAUSE)
            await self._change(
                breaker,
                lambda circuit: rules.opened(circuit, seconds, error, probe),
                # Of many that were on their way, each says nearly the same.
                unless=lambda: probe is None and breaker.seconds_left > seconds / 2,
            )
        else:
            await self._change(
                breaker,
                lambda circuit: rules.failed(circuit, self._pause, error, probe),
                unless=lambda: probe is None and breaker.is_open,
            )

    async def _change(
        self,
        breaker: CircuitBreaker,
        change: Callable[[Circuit], Circuit],
        *,
        unless: Callable[[], bool] | None = None,
    ) -> tuple[Circuit, Circuit]:
        """Change it for all processes, and return how it was and how it is."""
        async with self._watching:
            if unless is not None and unless():
                return breaker.circuit, breaker.circuit
            was_closed = not breaker.is_open
            try:
                before, after = await self._storage.change_circuit(
                    breaker.provider, change
                )
            except StorageUnavailable:
                before = breaker.circuit
                after = change(before)  # for this process at least
            breaker.see(after)
        if was_closed and breaker.is_open:
            log.warning(
                "%s is asked for nothing new for %.1f s: %s",
                breaker.provider,
                breaker.seconds_left,
                after.error_detail,
            )
        elif not (was_closed or breaker.is_open):
            log.info("%s is asked again", breaker.provider)
        return before, after
