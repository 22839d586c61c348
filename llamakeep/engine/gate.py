"""
The gate before each provider that is asked once: who may ask it, and when.

All processes on a database share it. It is closed when the provider says so (429), and
when asking has failed five times in a row. When its time has passed, one run goes
first; if it is heard, the others follow. What was begun before is never stopped here.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

from llamakeep.domain import Run, RunStatus
from llamakeep.engine import gate_rules as rules
from llamakeep.engine.gate_line import Line
from llamakeep.errors import (
    ProviderError,
    ProviderRateLimited,
    StorageUnavailable,
)
from llamakeep.providers.base import CompletionRequest, Event, ReattachableProvider
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.gates import Gate

LONGEST_PAUSE = 300
"""Seconds for which it is closed at most, whatever the provider says."""

UNSAID_PAUSE = 1
"""Seconds for which it is closed if the provider does not say."""

STAGGER = 0.1
"""Seconds between two that have waited; Replicate takes 600 a minute."""

log = logging.getLogger(__name__)


class GateClosed(Exception):
    """The provider has not been asked, or has not listened; the run is to wait."""


class Gates:
    """
    This process's view of all gates.

    Args:
        settings: What the operator chose.
        storage: What all processes see.
        providers: The names of those that have a gate.
    """

    def __init__(
        self, settings: Settings, storage: Storage, providers: Iterable[str]
    ) -> None:
        self._pause = settings.breaker_pause
        self._storage = storage
        self._lines = {name: Line(name) for name in providers}
        # What is seen is seen in the order in which it happened.
        self._watching = asyncio.Lock()

    async def refresh(self) -> None:
        """Look at what other processes did, and earlier ones."""
        if not self._lines:
            return
        async with self._watching:
            for gate in await self._storage.gates():
                if gate.provider in self._lines:
                    self._lines[gate.provider].see(gate)

    def seconds_closed(self, provider: str) -> float | None:
        """Return how long a gate stays closed, if it is."""
        line = self._lines.get(provider)
        return max(line.seconds_left, 1) if line and line.is_closed else None

    def stop(self, run: Run) -> bool:
        """Return whether a run that its provider has not heard of has to wait."""
        return run.status is RunStatus.QUEUED and self.is_closed_for(run)

    def is_closed_for(self, run: Run) -> bool:
        """Return whether `run` has to wait if its provider has not heard of it."""
        line = self._lines.get(run.provider)
        return line is not None and line.is_closed_for(run.id)

    def turn(self, run: Run, *, give_up_at: float | None) -> "_Turn":
        """
        Wait for the turn of `run`, as long as the gate stops it: `async with`.

        Args:
            run: If it is the first to go after a pause, it has its turn until it leaves
                here, or its provider has answered.
            give_up_at: Until when it waits, by the event loop's clock.

        Raises:
            LlamaKeepError: Why the gate was closed for so long; on entering.
        """
        return _Turn(self, run, give_up_at)

    async def enter(self, run: Run, give_up_at: float | None) -> None:
        """Wait for the turn of `run`, as `turn` says."""
        if not self.stop(run):
            return
        line = self._lines[run.provider]
        try:
            async with asyncio.timeout_at(give_up_at):
                await self._wait(line, run)
        except TimeoutError:
            raise line.refusal() from None

    async def leave(self, run: Run) -> None:
        """Let the next one go first, if `run` did and nothing is known yet."""
        line = self._lines.get(run.provider)
        if line is not None and (probe := line.probe_of(run.id)) is not None:
            line.prober = None
            await self._change(line, lambda gate: rules.given_up(gate, probe))

    async def ask(
        self, provider: ReattachableProvider, request: CompletionRequest
    ) -> AsyncGenerator[Event, None]:
        """
        Answer `request`, as `Provider.answer` says, unless the gate is closed.

        Raises:
            GateClosed: It is, or it is now; the provider is not answering.
            LlamaKeepError: What `Provider.answer` raised.
        """
        line = self._lines[provider.name]
        if line.is_closed_for(request.run_id):
            raise GateClosed
        probe = line.probe_of(request.run_id)
        if probe is not None:
            # Who reads along is told at once that the prompt was accepted.
            request = replace(request, is_followed=True)
        is_accepted = False
        try:
            async with aclosing(provider.answer(request)) as events:
                async for event in events:
                    yield event  # first, because it may have to be kept
                    if not is_accepted:
                        is_accepted = True
                        await self._succeeded(line, request.run_id, probe)
        except ProviderError as error:
            if is_accepted:
                raise
            await self._failed(line, request.run_id, probe, error)
            may_wait = isinstance(error, rules.PASSING) and not error.answer_may_exist
            if may_wait and line.is_closed:
                raise GateClosed from error
            raise

    async def _wait(self, line: Line, run: Run) -> None:
        async with line.order:
            while True:
                if not line.is_closed:
                    await asyncio.sleep(STAGGER)
                    if not line.is_closed:
                        return
                elif line.seconds_left > 0:
                    await line.change()
                elif await self._go_first(line, run):
                    return

    async def _go_first(self, line: Line, run: Run) -> bool:
        before, gate = await self._change(line, rules.probed)
        is_ours = gate != before
        if is_ours:
            log.info("run %s finds out whether %s answers", run.id, gate.provider)
            line.prober, line.probe = run.id, gate.closed_until
        return is_ours

    async def _succeeded(self, line: Line, run_id: str, probe: datetime | None) -> None:
        if probe is None and not line.gate.failures:
            return
        if line.prober == run_id:
            line.prober = None
        await self._change(line, lambda gate: rules.succeeded(gate, probe))

    async def _failed(
        self,
        line: Line,
        run_id: str,
        probe: datetime | None,
        error: ProviderError,
    ) -> None:
        if not (isinstance(error, rules.PASSING) and error.was_tried):
            return  # it says nothing about whether the provider answers
        if line.prober == run_id:
            line.prober = None
        if isinstance(error, ProviderRateLimited):
            said = UNSAID_PAUSE if error.retry_after is None else error.retry_after
            seconds = min(said, LONGEST_PAUSE)
            await self._change(
                line,
                lambda gate: rules.closed(gate, seconds, error, probe),
                # Of many that were on their way, each says nearly the same.
                unless=lambda: probe is None and line.seconds_left > seconds / 2,
            )
        else:
            await self._change(
                line,
                lambda gate: rules.failed(gate, self._pause, error, probe),
                unless=lambda: probe is None and line.is_closed,
            )

    async def _change(
        self,
        line: Line,
        change: Callable[[Gate], Gate],
        *,
        unless: Callable[[], bool] | None = None,
    ) -> tuple[Gate, Gate]:
        """Change the gate for everybody, and return how it was and how it is."""
        async with self._watching:
            if unless is not None and unless():
                return line.gate, line.gate
            was_open = not line.is_closed
            try:
                before, after = await self._storage.change_gate(line.provider, change)
            except StorageUnavailable:
                before = line.gate
                after = change(before)  # for this process at least
            line.see(after)
        if was_open and line.is_closed:
            log.warning(
                "%s is asked for nothing new for %.1f s: %s",
                line.provider,
                line.seconds_left,
                after.error_detail,
            )
        elif not (was_open or line.is_closed):
            log.info("%s is asked again", line.provider)
        return before, after


class _Turn:
    """For `async with`; nearly all runs go through, and a generator would cost more."""

    def __init__(self, gates: Gates, run: Run, give_up_at: float | None) -> None:
        self._gates = gates
        self._run = run
        self._give_up_at = give_up_at

    async def __aenter__(self) -> None:
        await self._gates.enter(self._run, self._give_up_at)

    async def __aexit__(self, *_: object) -> None:
        await self._gates.leave(self._run)
