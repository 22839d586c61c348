"""The storage policy of runs: while the database fails, they wait and try again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llamakeep.engine.live import LiveRun
from llamakeep.errors import StorageUnavailable

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two tries; each pause is twice the one before."""

PATIENCE = 5.0
"""Seconds of a first try after which its failure has not passed at once."""

KEPT = "The prompt is kept, and its run continues as soon as the database works again."

T = TypeVar("T")

log = logging.getLogger(__name__)


class Retries:
    """
    The one place where a storage error becomes a pause: it never ends a run.

    A failure that passes at once goes unnoticed. From the second one in a row on, or if
    the first try `began` long ago by the loop's clock, clients that wait for the run
    get an error which says what is kept. That begins with `detail`. What is waited here
    does not count for `deadline`.
    """

    __slots__ = (
        "_began",
        "_deadline",
        "_detail",
        "_failures",
        "_left",
        "_live",
        "_pause",
    )

    def __init__(
        self,
        live: LiveRun,
        detail: str = KEPT,
        *,
        deadline: asyncio.Timeout | None = None,
        began: float | None = None,
    ) -> None:
        self._live = live
        self._began = began
        self._detail = detail
        self._pause = FIRST_PAUSE
        self._failures = 0
        self._deadline = deadline
        self._left: float | None = None

    async def until_done(
        self,
        step: Callable[[], Awaitable[T]],
        *,
        failure: StorageUnavailable | None = None,
    ) -> T:
        """
        Try `step`, which may be repeated, until the database does it.

        If a first try failed already, that is `failure`.
        """
        while True:
            try:
                if failure is not None:
                    await self.pause(failure)
                result = await step()
            except StorageUnavailable as error:
                failure = error
            else:
                self.succeeded()
                return result

    async def pause(self, failure: StorageUnavailable) -> None:
        """Wait before the next try."""
        live = self._live
        log.info("run %s waits for the database: %s", live.run.id, failure.reason)
        self._stop_clock()
        now = asyncio.get_running_loop().time()
        is_slow = self._began is not None and now - self._began > PATIENCE
        if self._failures or is_slow:
            live.fail(
                StorageUnavailable(f"{self._detail} {failure.reason}", retry_after=5)
            )
        self._failures += 1
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def succeeded(self) -> None:
        """Stop waiting: the database works."""
        if self._failures:
            self._failures, self._pause = 0, FIRST_PAUSE
            self._start_clock()
            self._live.recover()

    def _stop_clock(self) -> None:
        deadline = self._deadline
        if deadline is None or self._left is not None or deadline.expired():
            return
        when = deadline.when()
        if when is not None:
            self._left = when - asyncio.get_running_loop().time()
            deadline.reschedule(None)

    def _start_clock(self) -> None:
        if self._deadline is not None and self._left is not None:
            now = asyncio.get_running_loop().time()
            self._deadline.reschedule(now + self._left)
            self._left = None
