"""Where the answer to a run may be, as a webhook says."""

import asyncio


class Hints:
    """The newest handle that was named for a run; it need not be right."""

    def __init__(self) -> None:
        self._newest: asyncio.Queue[str | None] = asyncio.Queue(1)

    def give(self, handle: str) -> None:
        """Name a handle."""
        if self._newest.full():
            self._newest.get_nowait()
        self._newest.put_nowait(handle)

    def end(self) -> None:
        """End the waiting for a handle."""
        if self._newest.empty():
            self._newest.put_nowait(None)

    async def next(self, *, within: float) -> str | None:
        """Return a handle, but none twice, if one comes in so many seconds."""
        try:
            async with asyncio.timeout(within):
                return await self._newest.get()
        except TimeoutError:
            return None
