"""Everything that is done to one kind of database."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.acceptance.processes import Runner
from tests.torture.crash_points import POINTS
from tests.torture.report import Row
from tests.torture.scenarios import (
    Outcome,
    crash_at,
    freeze_holders,
    kill_at_random,
)
from tests.torture.site import Site, open_site

LANES = 5
"""How many crash points are tried at the same time."""

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
        name = f"killed at {len(POINTS)} points, {times} times each"
        yield Row(name, self.database, await self._crashes(times))
        if self._nodes > 1:
            async with self._site("frozen") as site:
                found = await freeze_holders(site, times=self._times(20))
            yield Row("a holder frozen past its lease", self.database, found)

    async def _crashes(self, times: int) -> Outcome:
        lanes, whole = asyncio.Semaphore(LANES), Outcome()

        async def crash(name: str) -> None:
            nonlocal whole
            async with lanes, self._site(name) as site:
                began = time.monotonic()
                found = await crash_at(site, name, times=times)
                took = time.monotonic() - began
                log.info("%s: %d kills in %.0f s", name, found.kills, took)
                whole += found

        async with asyncio.TaskGroup() as group:
            for name in POINTS:
                group.create_task(crash(name))
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
