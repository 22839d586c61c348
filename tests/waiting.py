"""How tests wait: for what has to happen, never for a time in which it should have."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

LONG_ENOUGH = 60
"""
Seconds in which what is waited for has happened, or never will.

So many may pass on a machine that is busy with something else; only a test that fails
ever waits for them.
"""


async def until(
    is_so: Callable[[], Any | Awaitable[Any]], *, within: float = LONG_ENOUGH
) -> None:
    """
    Wait for what nobody here could set an event for.

    Args:
        is_so: Returns whether it has happened, or an awaitable that does.
        within: Seconds, for what starts several processes one after the other.
    """
    async with asyncio.timeout(within):
        while True:
            found = is_so()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.005)
