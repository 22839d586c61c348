"""Everything that is done to one kind of database."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from tests.acceptance.processes import Runner
from tests.torture.crash_points import POINTS
from tests.torture.report import Row
from tests.torture.scenarios import (
    FREEZING_POINTS,
    Outcome,
    crash_at,
    freeze_holder,
    kill_at_random,
)
from tests.torture.site import Site, open_site

LANES = 7
"""How many sites there are at the same time."""

Scenario = Callable[[Site], Awaitable[Outcome]]
NewDatabase = Callable[[Path], AbstractAsyncContextManager[str]]

log = logging.getLogger(__name__)


class Campaign:
    """
    All scenarios on one kind of database.

    Args:
        database: Its name.
        new_database: Makes an empty one; that folder is its own.
        nodes: How many servers share one.
        runner: Starts them.
        emulator: Where Replicate is.
        folder: For files and logs.
        scale: How much is done; 1 is all of it.
        chance: What decides when and where.
    """

    def __init__(
        self,
        database: str,
        new_database: NewDatabase,
        *,
        nodes: int,
        runner: Runner,
        emulator: str,
        folder: Path,
        scale: float,
        chance: random.Random,
    ) -> None:
        self.database = database
        self._new_database = new_database
        self._nodes = nodes
        self._runner = runner
        self._emulator = emulator
        self._folder = folder
        self._scale = scale
        self._chance = chance

    async def rows(self) -> AsyncIterator[Row]:
        """Yield what was found, scenario by scenario."""
        async with self._site("random") as site:
            found = await kill_at_random(
                site,
                prompts=self._times(300),
                kills=self._times(50),
                clients=8 * self._nodes,
                longest_pause=2.0,
            )
        yield Row("killed at random moments", self.database, found)
        times = self._times(20)
        found = await self._together(
            {name: partial(crash_at, name=name, times=times) for name in POINTS}
        )
        name = f"killed at {len(POINTS)} points, {times} times each"
        yield Row(name, self.database, found)
        if self._nodes == 1:
            return  # nobody could take over
        times = self._times(5)
        found = await self._together(
            {
                f"frozen {name}": partial(freeze_holder, name=name, times=times)
                for name in FREEZING_POINTS
            }
        )
        name = f"frozen at {len(FREEZING_POINTS)} points, {times} times each"
        yield Row(name, self.database, found)

    async def _together(self, scenarios: Mapping[str, Scenario]) -> Outcome:
        """Let scenarios happen, a few at the same time, and return their sum."""
        lanes, whole = asyncio.Semaphore(LANES), Outcome()

        async def happen(name: str, scenario: Scenario) -> None:
            nonlocal whole
            async with lanes, self._site(name) as site:
                began = time.monotonic()
                found = await scenario(site)
                took = time.monotonic() - began
                log.info("%s: %d kills in %.0f s", name, found.kills, took)
                whole += found

        async with asyncio.TaskGroup() as group:
            for name, scenario in scenarios.items():
                group.create_task(happen(name, scenario))
        return whole

    def _times(self, number: int) -> int:
        return max(1, round(number * self._scale))

    @asynccontextmanager
    async def _site(self, name: str) -> AsyncIterator[Site]:
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir(parents=True)
        async with (
            self._new_database(folder) as url,
            open_site(
                self._runner,
                folder,
                self._emulator,
                url,
                chance=self._chance,
                nodes=self._nodes,
            ) as site,
        ):
            yield site
