"""Work that is done again and again in the background, whatever it raises."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from llamakeep.errors import StorageUnavailable

log = logging.getLogger(__name__)


class Repeated:
    """
    A task that repeats a step until it is closed; no error ends it.

    The log names its purpose, such as `renewing leases`. From the end of one step to
    the beginning of the next are `every` seconds.
    """

    def __init__(
        self, purpose: str, step: Callable[[], Awaitable[None]], *, every: float
    ) -> None:
        self._purpose = purpose
        self._step = step
        self._every = every
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self, *, at_once: bool = False) -> None:
        """Begin, with a pause unless the first step is to be done at once."""
        if at_once:
            self.wake()
        self._task = asyncio.create_task(self._repeat())

    def wake(self) -> None:
        """Do not wait for the end of this pause."""
        self._woken.set()

    async def once(self) -> None:
        """Do the step now; an error is logged."""
        try:
            await self._step()
        except StorageUnavailable as error:
            # That the database fails is said once for all, where that is found out.
            log.info("%s fails: %s", self._purpose, error.detail)
        except Exception:
            log.exception("%s fails by a bug", self._purpose)

    def cancel(self) -> None:
        """Stop, and do not wait for the end of a step; it can be opened again."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stop, in the middle of a step if there is one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _repeat(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._woken.wait()
            self._woken.clear()
            await self.once()
