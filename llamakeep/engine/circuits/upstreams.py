"""
The circuit breaker before each upstream: whether it may be asked now.

All processes on a database share it. It opens when asking has failed five times in a
row, and that of a reattachable provider when it says so (429). When its time has
passed, one run is sent as a probe; if its provider answers, the others follow. What was
begun before is not stopped.

Runs wait while that of a reattachable provider is open. Those of others are refused,
and kept: their clients read when to come again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial

from llamakeep.domain import Run, RunStatus
from llamakeep.engine.circuits import rules
from llamakeep.engine.circuits.breaker import CircuitBreaker, CircuitState
from llamakeep.errors import (
    ProviderError,
    ProviderRateLimited,
    StorageUnavailable,
)
from llamakeep.providers.base import CompletionRequest, Event, ReattachableProvider
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.circuits import Circuit

UNSAID_PAUSE = 1
"""Seconds for which it is open if the provider does not say."""

STAGGER = 0.1
"""Seconds between two runs that have waited; Replicate takes 600 a minute."""

log = logging.getLogger(__name__)


class CircuitOpen(Exception):
    """The provider has not been asked, or has not listened; the run is to wait."""


class CircuitBreakers:
    """This process's view of all of them."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._pause = settings.breaker_pause
        self._storage = storage
        self._breakers: dict[str, CircuitBreaker] = {}
        self.has_probe = False
        """Whether any run may be a probe; mostly none is."""
        self.failing: set[str] = set()
        """Those that refuse runs, or failed last; mostly there are none."""
        self.stopping: set[str] = set()
        """Those for which runs wait; mostly there are none."""
        # What is seen is seen in the order in which it happened.
        self._watching = asyncio.Lock()

    def watch(self, registry: Registry) -> None:
        """Have a circuit breaker for each provider that there is."""
        waiting = registry.reattachable
        for name in registry.names:
            breaker = self._breakers.get(name)
            if breaker is None:
                breaker = CircuitBreaker(name, has_waiting=name in waiting)
                self._breakers[name] = breaker
            breaker.has_waiting = name in waiting
            self._note(breaker)

    async def refresh(self) -> None:
        """Look at what other processes did, and earlier ones."""
        if not self._breakers:
            return
        async with self._watching:
            for circuit in await self._storage.circuits():
                if (breaker := self._breakers.get(circuit.provider)) is not None:
                    self._see(breaker, circuit)

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
                failures=breaker.failures,
                error_code=breaker.circuit.error_code,
            )
            for name, breaker in self._breakers.items()
            if breaker.is_open
        ]

    def is_open_for(self, run: Run) -> bool:
        """Return whether `run` has to wait if its provider was not asked yet."""
        breaker = self._breakers.get(run.provider)
        return (
            breaker is not None and breaker.has_waiting and breaker.is_open_for(run.id)
        )

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
            raise breaker.refusal(
                "The prompt has waited its time without being asked, and is kept."
            ) from None

    async def check(self, run: Run) -> None:
        """
        Refuse a run that would not be answered, or make it the probe.

        Raises:
            LlamaKeepError: Why the circuit is not closed, and when to come again.
        """
        breaker = self._breakers.get(run.provider)
        if breaker is None or not breaker.is_open_for(run.id):
            return
        if not await self.probes(run) and breaker.is_open:
            error = breaker.refusal("This prompt was not sent there, and is kept.")
            error.nothing_paid = True
            if isinstance(error, ProviderError):
                error.was_tried = False
            raise error

    def is_probe(self, run: Run) -> bool:
        """Return whether a run is the probe, of which nothing is known yet."""
        breaker = self._breakers.get(run.provider)
        return breaker is not None and breaker.probing_run == run.id

    async def answered(self, run: Run) -> None:
        """Close the circuit: the provider of a run reads prompts."""
        breaker = self._breakers.get(run.provider)
        if breaker is not None:
            await self._succeeded(breaker, run.id, breaker.probe_of(run.id))

    async def failed(self, run: Run, error: ProviderError) -> None:
        """Count that a provider failed before it began to answer."""
        breaker = self._breakers.get(run.provider)
        if breaker is not None:
            await self._failed(breaker, run.id, breaker.probe_of(run.id), error)

    async def close(self, providers: Collection[str]) -> None:
        """Ask these again, as they are other ones now."""
        for name in providers:
            breaker = self._breakers.get(name)
            if breaker is not None and (breaker.is_open or breaker.failures):
                await self._change(
                    breaker, lambda circuit: Circuit(circuit.provider, circuit.now)
                )

    async def probes(self, run: Run) -> bool:
        """Make `run` the probe of an open circuit, if it is time for one."""
        breaker = self._breakers.get(run.provider)
        if breaker is None or not breaker.is_open or breaker.seconds_left > 0:
            return False
        return await self._is_probe(breaker, run)

    async def leave(self, run: Run) -> None:
        """Let another run be the probe, if `run` was and nothing is known yet."""
        for breaker in self._breakers.values():
            if (probe := breaker.probe_of(run.id)) is not None:
                self._end_probe(breaker)
                given_up = partial(rules.given_up, probe=probe)
                await self._change(breaker, given_up)

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
        if probe is None and not breaker.failures:
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
            seconds = min(said, rules.LONGEST_PAUSE)
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
            self._see(breaker, after)
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

    def _see(self, breaker: CircuitBreaker, circuit: Circuit) -> None:
        breaker.see(circuit)
        self._note(breaker)

    def _note(self, breaker: CircuitBreaker) -> None:
        refuses = not breaker.has_waiting and (breaker.is_open or breaker.failures)
        for names, is_among in (
            (self.failing, refuses),
            (self.stopping, breaker.has_waiting and breaker.is_open),
        ):
            change = names.add if is_among else names.discard
            change(breaker.provider)
