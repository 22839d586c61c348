"""Where a run's answer may be, as somebody says who need not be right."""

import asyncio
from contextlib import suppress


class Hints:
    """The newest handle that was named for a run, and a bell that rings for it."""

    def __init__(self) -> None:
        self._handle: str | None = None
        self._bell = asyncio.Event()

    def give(self, handle: str) -> None:
        """Name a handle to whoever waits for one, now or later."""
        self._handle = handle
        self._bell.set()

    def ring(self) -> None:
        """Let whoever waits go on without a handle."""
        self._bell.set()

    async def next(self, *, within: float) -> str | None:
        """Return a handle, but none twice, if one comes in so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._bell.wait()
        self._bell.clear()
        handle, self._handle = self._handle, None
        return handle
