"""The number of PostgreSQL connections in use, and the queue for them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

GROWN_AFTER = 5.0
"""Seconds after a refusal before the number grows again by one."""
LATELY = 30.0
"""Seconds, or up to twice as many, for which is known how many were in use."""
LOOK = 0.25
"""Seconds between two attempts while there is no connection at all."""


class Slots:
    """Limits connections; the limit shrinks when the server refuses one."""

    def __init__(
        self, most: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = most
        self.in_use = 0
        self._most = most
        self._clock = clock
        self._refused_at = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._most_used = self._most_used_before = 0
        self._since = self._clock()

    @property
    def lately_used(self) -> int:
        """How many were in use at once lately."""
        return max(self._most_used, self._most_used_before)

    async def take(self) -> None:
        """Wait for a slot, first come, first served."""
        self._grow()
        if self.in_use < self.limit and not self._waiting:
            self.in_use += 1
            self._note()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()  # it was granted during the cancellation
            else:
                with suppress(ValueError):
                    self._waiting.remove(turn)
            raise

    def give_back(self) -> None:
        """Give the slot to the next in the queue."""
        self.in_use -= 1
        while self._waiting and self.in_use < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_use += 1
                turn.set_result(None)

    async def refused(self) -> None:
        """Give back a slot without a connection, and wait for another."""
        self._refused_at = self._clock()
        self.limit = max(1, self.in_use - 1)
        is_alone = self.in_use == 1
        self.give_back()
        if is_alone:
            await asyncio.sleep(LOOK)
        await self.take()

    def _note(self) -> None:
        now = self._clock()
        if now - self._since > LATELY:
            is_next = now - self._since <= 2 * LATELY
            self._most_used_before = self._most_used if is_next else 0
            self._most_used, self._since = 0, now
        self._most_used = max(self._most_used, self.in_use)

    def _grow(self) -> None:
        if self.limit < self._most and self._clock() - self._refused_at > GROWN_AFTER:
            self._refused_at = self._clock()
            self.limit += 1
