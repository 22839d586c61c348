"""When runs may be worked on: each waits for its upstream, then for this process."""

import asyncio
import sys
from dataclasses import replace

from llamakeep.domain import Run, RunStatus
from llamakeep.engine.circuits.upstreams import CircuitBreakers
from llamakeep.engine.live import LiveRun
from llamakeep.engine.routing.falling_back import Fallback
from llamakeep.engine.waiting.slots import Slots
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings


class Turns:
    """
    Has runs wait for their turn: of their upstream first, then of this process.

    A run that waits for its upstream, because the circuit is open or as many runs as
    may be are there already, has no slot of the process: those of other upstreams pass.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        breakers: CircuitBreakers,
        fallback: Fallback,
    ) -> None:
        self.slots = Slots(settings.max_running)
        """Those of the process."""
        self._upstreams: dict[str, Slots] = {}
        self._registry = registry
        self._breakers = breakers
        self._fallback = fallback
        self._longest = settings.run_timeout

    def follow_bounds(self) -> None:
        """Let as many runs be at each upstream as the registry says now."""
        for name, slots in self._upstreams.items():
            slots.resize(self._most_at(name))

    def take(self, run: Run) -> Slots | None:
        """Take the slots of a run if it need not wait; return those of its upstream."""
        slots = self.slots
        upstream = self._upstreams.get(run.provider) or self._at(run.provider)
        if slots.free < 1 or upstream.free < 1:
            return None
        if self._breakers.stopping and self._breakers.is_open_for(run):
            return None
        slots.free -= 1  # without calls, as below
        upstream.free -= 1
        return upstream

    def has_room(self, run: Run) -> bool:
        """Return whether the upstream of a run has a free slot."""
        return self._at(run.provider).free > 0

    async def move(self, live: LiveRun) -> None:
        """Have a run wait for another upstream that is not stored yet, if it has to."""
        had_slot = live.has_slot
        await self.release(live)
        if not had_slot:
            return
        live.upstream = self.take(live.run)
        live.has_slot = live.upstream is not None
        if not live.has_slot:
            live.run = replace(
                live.run, status=RunStatus.QUEUED, attempt=0, started_at=None
            )
            self.line_up(live)

    def line_up(self, live: LiveRun) -> None:
        """Count a run among those that wait."""
        live.is_waiting = True
        self.slots.enter(live.run.user_id)

    async def wait(self, live: LiveRun) -> None:
        """
        Have a run wait for its turn.

        Raises:
            LlamaKeepError: It waited for its provider for as long as it may take.
        """
        breakers, user_id = self._breakers, live.run.user_id
        if not live.is_waiting:
            self.line_up(live)
        while True:
            is_stopped = breakers.stops(live.run)
            if is_stopped and await self._fallback.of_open_circuit(live):
                continue
            if live.give_up_at is None and breakers.stops(live.run):
                now = asyncio.get_running_loop().time()
                live.give_up_at = now + self._longest
            await breakers.enter(live.run, give_up_at=live.give_up_at)
            upstream = self._at(live.run.provider)
            await upstream.wait(user_id)
            live.upstream = upstream
            await self.slots.wait(user_id)
            live.has_slot = True
            if not breakers.stops(live.run):
                break
            await self.release(live)  # it was opened while there was no slot
        self._leave(live)

    async def release(self, live: LiveRun) -> None:
        """Let others have the slots of a run, and be the probe if it was."""
        upstream = live.upstream
        if upstream is not None:
            live.upstream = None
            if upstream.lines:
                upstream.release()
            else:  # without a call: each prompt does this
                upstream.free += 1
        if live.has_slot:
            live.has_slot = False
            if self.slots.lines:
                self.slots.release()
            else:
                self.slots.free += 1
        if self._breakers.has_probe:
            await self._breakers.leave(live.run)

    def end(self, live: LiveRun) -> None:
        """Let go of a run that waits, or whose slots were not released."""
        if live.upstream is not None:
            live.upstream.release()
        if live.has_slot:
            self.slots.release()
        if live.is_waiting:
            self._leave(live)

    def _leave(self, live: LiveRun) -> None:
        live.is_waiting = False
        self.slots.leave(live.run.user_id)

    def _at(self, provider: str) -> Slots:
        """Return the slots of an upstream; without a bound, they are only counted."""
        slots = self._upstreams.get(provider)
        if slots is None:
            slots = self._upstreams[provider] = Slots(self._most_at(provider))
        return slots

    def _most_at(self, provider: str) -> int:
        return self._registry.facts(provider).parallel or sys.maxsize
