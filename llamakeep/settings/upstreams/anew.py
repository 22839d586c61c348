"""Reading the file while the server runs: what is wrong then ends nothing."""

import asyncio
import logging
from collections.abc import Callable

from llamakeep.settings.upstreams.model import Upstreams, UpstreamsFault

log = logging.getLogger(__name__)

Reading = Callable[[], Upstreams]
"""Reads the file, and raises `UpstreamsFault` if it has mistakes."""


async def read_anew(reading: Reading) -> Upstreams | None:
    """Return what the file says now; if it has mistakes, log them and nothing more."""
    try:
        return await asyncio.to_thread(reading)
    except UpstreamsFault as fault:
        for mistake in fault.mistakes:
            log.error("%s", mistake)  # noqa: TRY400 - a traceback would say no more
        log.error("the upstreams stay as they were, until the file is mended")  # noqa: TRY400
        return None
