"""How many runs a process works on at the same time."""

import asyncio


class Slot:
    """
    One of them, which a run has while it is being worked on: `async with slot`.

    It may be taken before. When it is left, somebody else may have it; it can be
    entered again.
    """

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._is_taken = False

    async def take_if_free(self) -> bool:
        """Take it, if that can be done at once."""
        if not self._slots.locked():
            await self._slots.acquire()  # at once, so that no two get the last one
            self._is_taken = True
        return self._is_taken

    def release(self) -> None:
        """Let somebody else have it, if it is taken."""
        if self._is_taken:
            self._is_taken = False
            self._slots.release()

    async def __aenter__(self) -> None:
        if not self._is_taken:
            await self._slots.acquire()
            self._is_taken = True

    async def __aexit__(self, *_: object) -> None:
        self.release()
