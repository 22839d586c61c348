"""The headers `Prefer` (wait for a new prediction) and `Cancel-After`."""

import asyncio
import re
from contextlib import suppress

from llamakeep.domain import Run, User
from llamakeep.engine import Engine
from llamakeep.errors import InvalidRequest, LlamaKeepError

LONGEST_WAIT = 60
"""Seconds for which a request waits at most."""

SHORTEST_DEADLINE, LONGEST_DEADLINE = 5, 24 * 3600
"""The bounds of `Cancel-After`, in seconds."""

_WAIT = re.compile(r"wait(?:\s*=\s*\"?([0-9]{1,6})\"?)?", re.ASCII)
_DURATION = re.compile(
    r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s?)?", re.ASCII
)

_deadlines: set[asyncio.Task[None]] = set()


def parse_prefer(header: str | None) -> int | None:
    """
    Return the seconds that a `Prefer` header asks to wait, if it does.

    An invalid preference is ignored (RFC 7240).
    """
    for preference in (header or "").split(","):
        match = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if match is not None:
            return min(LONGEST_WAIT, max(1, int(match[1] or LONGEST_WAIT)))
    return None


def parse_cancel_after(header: str | None) -> int | None:
    """
    Return the seconds of a `Cancel-After` header: `90`, `90s`, `5m`, `1h30m45s`.

    Raises:
        InvalidRequest: It is malformed, too short or too long.
    """
    if header is None:
        return None
    match = _DURATION.fullmatch(header)
    if match is not None:
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        total = hours * 3600 + minutes * 60 + seconds
        if SHORTEST_DEADLINE <= total <= LONGEST_DEADLINE:
            return total
    raise InvalidRequest.of(
        "header.cancel-after",
        "Send a duration between 5s and 24h, such as 90, 90s, 5m or 1h30m45s.",
    )


async def wait(engine: Engine, run: Run, seconds: int) -> Run:
    """
    Wait until `run` has ended, for `seconds` at most.

    Returns:
        The run as it ended, or `run` if it is unfinished or its state is not known.
    """
    with suppress(TimeoutError, LlamaKeepError):
        async with asyncio.timeout(seconds):
            return await engine.end_of(run)
    return run


def cancel_later(engine: Engine, user: User, run: Run, seconds: int) -> None:
    """Cancel `run` after `seconds`, unless it or this process ends before."""
    deadline = asyncio.create_task(_watch(engine, user, run, seconds))
    _deadlines.add(deadline)
    deadline.add_done_callback(_deadlines.discard)


async def _watch(engine: Engine, user: User, run: Run, seconds: int) -> None:
    # `result` returns or raises when the run ends, and raises when the server stops.
    with suppress(LlamaKeepError):
        try:
            async with asyncio.timeout(seconds):
                await engine.result(run)
        except TimeoutError:
            await engine.cancel(user, run.id)
