"""Everything that is done to one kind of database."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from tests.torture.crash_points import KEPT_POINTS, POINTS
from tests.torture.plans import Job, Planned, times
from tests.torture.report import Row
from tests.torture.scenarios import (
    FREEZING_POINTS,
    Outcome,
    crash_at,
    freeze_holder,
    kill_at_random,
)
from tests.torture.site import Site
from tests.torture.stage import Stage
from tests.torture.upstreams.answering import on_kept, on_keyed, on_llamakeep
from tests.torture.upstreams.changing import (
    change_upstreams,
    kill_amid_limits,
    on_capped,
    on_changing,
)
from tests.torture.upstreams.chaos import kill_amid_chaos, on_chaos, on_chaos_and_kept

SERVERS_AT_ONCE = 4
"""Servers of all sites: two cores cannot start more of them as fast as they die."""

UPSTREAMS = {
    "upstream that keeps the answer": on_kept,
    "the same upstream, with keys": on_keyed,
    "upstream that is another llamakeep": on_llamakeep,
}
CHAOS = {
    "seven failing upstreams behind an alias": on_chaos,
    "the same upstreams, and one that keeps the answer": on_chaos_and_kept,
}

log = logging.getLogger(__name__)


class Campaign:
    """
    All scenarios on one kind of database.

    Args:
        database: Its name.
        stage: Where they take place.
        scale: How much is done; 1 is all of it.
        planned: What is done to the things that servers depend on.
        scenario: Words in the names of the only scenarios that take place.
        at_points: Whether servers are killed at each point, too, also where an upstream
            keeps the answer.
    """

    def __init__(
        self,
        database: str,
        stage: Stage,
        scale: float,
        planned: Sequence[Planned],
        *,
        scenario: str = "",
        at_points: bool = True,
    ) -> None:
        self.database = database
        self._stage = stage
        self._planned = [each for each in planned if scenario in each.name]
        self._scenario = scenario
        self._at_points = at_points
        self._times = partial(times, scale=scale)

    async def rows(self) -> AsyncIterator[Row]:
        """Yield what was found, scenario by scenario."""
        if self._scenario in (name := "killed at random moments"):
            async with self._stage.site("random") as site:
                found = await kill_at_random(
                    site,
                    prompts=self._times(300),
                    kills=self._times(50),
                    clients=8 * self._stage.nodes,
                    longest_pause=2.0,
                )
            yield Row(name, self.database, found)
        count = self._times(20)
        name = f"killed at {len(POINTS)} points, {count} times each"
        crashes = {
            each: self._at(each, partial(crash_at, name=each, times=count))
            for each in POINTS
        }
        if self._at_points and self._scenario in name:
            yield (await self._together([Planned(name, crashes)]))[0]
        if self._stage.nodes > 1:  # another one can take over
            count = self._times(5)
            name = f"frozen at {len(FREEZING_POINTS)} points, {count} times each"
            freezes = {
                f"frozen {each}": self._at(
                    f"frozen {each}", partial(freeze_holder, name=each, times=count)
                )
                for each in FREEZING_POINTS
            }
            if self._scenario in name:
                yield (await self._together([Planned(name, freezes)]))[0]
        later = [*self._kept(), *self._changing()] if self._at_points else []
        later = [each for each in later if self._scenario in each.name]
        for row in await self._together([*self._planned, *later]):
            yield row

    def _kept(self) -> Sequence[Planned]:
        """Return what is done where an upstream keeps the answer."""
        count, planned = self._times(3), []
        for what, opening in UPSTREAMS.items():
            name = f"{what}: killed at {len(KEPT_POINTS)} points, {count} times each"
            crashes = {
                f"{what}, {point}": self._at(
                    f"{opening.__name__} {point}",
                    partial(crash_at, name=point, times=count),
                    opening=opening,
                )
                for point in KEPT_POINTS
            }
            planned.append(Planned(name, crashes))
        name = "the same upstream, both killed at random moments"
        scenario = partial(
            kill_at_random,
            prompts=self._times(100),
            kills=self._times(20),
            clients=8,
            longest_pause=2.0,
            once_serving=True,
        )
        chain = self._at("chain", scenario, opening=on_llamakeep)
        planned.append(Planned(name, {name: chain}))
        for what, opening in CHAOS.items():
            job = self._at(
                opening.__name__,
                partial(
                    kill_amid_chaos,
                    prompts=self._times(300),
                    kills=self._times(20),
                    clients=8,
                    longest_pause=2.0,
                ),
                opening=opening,
            )
            planned.append(Planned(f"{what}, killed at random", {what: job}))
        return planned

    def _changing(self) -> Sequence[Planned]:
        """Return what is done where upstreams change, or have limits."""
        changes = partial(
            change_upstreams,
            prompts=self._times(300),
            changes=self._times(50),
            clients=8,
        )
        planned = [
            Planned(
                f"{name}, read anew at SIGHUP",
                {name: self._at(name, how, opening=on_changing)},
            )
            for name, how in {
                "upstreams that change": changes,
                "the same, killed at random": partial(changes, kills=self._times(20)),
            }.items()
        ]
        limited = partial(
            kill_amid_limits,
            prompts=self._times(300),
            kills=self._times(20),
            clients=8,
            longest_pause=2.0,
        )
        name = "upstreams and an alias with limits, killed at random"
        planned.append(
            Planned(name, {name: self._at("limits", limited, opening=on_capped)})
        )
        return planned

    def _at(
        self, name: str, scenario: Callable[[Site], Awaitable[Outcome]], **how: Any
    ) -> Job:
        async def job() -> Outcome:
            async with self._stage.site(name, **how) as site:
                return await scenario(site)

        return job

    async def _together(self, planned: Sequence[Planned]) -> Sequence[Row]:
        """Let scenarios happen, a few at the same time, and sum up those of a row."""
        lanes = asyncio.Semaphore(max(1, SERVERS_AT_ONCE // self._stage.nodes))
        rows = [Row(each.name, self.database, Outcome()) for each in planned]

        async def happen(name: str, job: Job, row: Row) -> None:
            async with lanes:
                began = time.monotonic()
                found = await job()
                took = time.monotonic() - began
                log.info("%s: %s in %.0f s", name, found.what_was_done, took)
                row.outcome += found

        async with asyncio.TaskGroup() as group:
            for row, each in zip(rows, planned, strict=True):
                for name, job in each.jobs.items():
                    group.create_task(happen(name, job, row))
        return rows
