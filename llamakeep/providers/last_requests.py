"""Requests about answers that no run waits for any more, such as cancels."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_LONGEST = 5.0
"""Seconds for which a server that stops waits for them."""


class LastRequests:
    """Sends them in the background."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: Coroutine[Any, Any, None]) -> None:
        """Send one; it raises nothing."""
        task = asyncio.create_task(request)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for those that are being sent, but not for long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LONGEST)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
