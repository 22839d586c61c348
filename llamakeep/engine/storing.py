"""Store a prompt, also where its COMMIT broke off."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from llamakeep.domain import Run
from llamakeep.errors import OutcomeUnknown, StorageUnavailable

STORING_PAUSES = (0.1, 0.5, 1.0)
"""Seconds before each try to store a prompt of which it is not known whether it is."""
LONGEST = 13.0
"""Seconds after which a client is told that the outcome is unknown."""


async def store(accept: Callable[..., Awaitable[Run]]) -> Run:
    """
    Store a prompt; if its COMMIT broke off, find out about it, and store it otherwise.

    The function `accept` is `Storage.accept` with its arguments.

    Raises:
        OutcomeUnknown: It cannot be found out now whether it is stored.
    """
    unknown: OutcomeUnknown | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):
            try:
                return await accept()
            except OutcomeUnknown as error:
                unknown = error
            for pause in STORING_PAUSES:
                await asyncio.sleep(pause)
                with suppress(StorageUnavailable):
                    return await accept(may_be_stored=True)
    raise unknown or OutcomeUnknown(
        "The database has not answered in time: it is not known whether this prompt "
        "was stored. Look for it in your history, or send it again under the same "
        "Idempotency-Key, which stores it once."
    )
