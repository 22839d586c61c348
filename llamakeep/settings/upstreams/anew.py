"""Reading the file while the server runs: what is wrong then ends nothing."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from llamakeep.settings.model import Settings
from llamakeep.settings.upstreams.model import Mistake, Upstreams, UpstreamsFault
from llamakeep.settings.upstreams.reading import read

log = logging.getLogger(__name__)

Reading = Callable[[], Upstreams]
"""Reads the file, and raises `UpstreamsFault` if it has mistakes."""


def reading_again(settings: Settings, path: Path | None) -> Reading:
    """Return what reads the file at `path` again, or the first one that there is."""
    if path is not None:  # it is missed if it is there no more
        settings = settings.model_copy(update={"config": path})
    return partial(_read_whole, settings)


async def read_anew(reading: Reading) -> Upstreams | None:
    """Return what the file says now; if it has mistakes, log them and nothing more."""
    try:
        return await asyncio.to_thread(reading)
    except UpstreamsFault as fault:
        for mistake in fault.mistakes:
            log.error("%s", mistake)  # noqa: TRY400 - a traceback would say no more
        log.error("the upstreams stay as they were, until the file is mended")  # noqa: TRY400
        return None


def _read_whole(settings: Settings) -> Upstreams:
    said = read(settings)
    if said.path is not None and not said.text.strip():
        message = (
            "It is empty, as one is that is being written. If it is to have no "
            "upstreams, write a comment into it."
        )
        raise UpstreamsFault([Mistake(said.path, None, message)])
    return said
