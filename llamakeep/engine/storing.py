"""What became of a prompt whose COMMIT broke off."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from llamakeep.domain import Run
from llamakeep.errors import OutcomeUnknown, StorageUnavailable

STORING_PAUSES = (0.1, 0.5, 1.0)
"""Seconds before each try to store a prompt of which it is not known whether it is."""
LONGEST = 5.0
"""Seconds for all of them."""


async def find_out(
    accept: Callable[..., Awaitable[Run]], unknown: OutcomeUnknown
) -> Run:
    """
    Find out whether a prompt was stored, and store it otherwise.

    The function `accept` is `Storage.accept` with its arguments.

    Raises:
        OutcomeUnknown: That cannot be found out now.
    """
    # A database that is frozen would have each try wait for its timeout.
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):
            for pause in STORING_PAUSES:
                await asyncio.sleep(pause)
                with suppress(StorageUnavailable):
                    return await accept(may_be_stored=True)
    raise unknown
