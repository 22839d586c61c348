"""Whether a process was frozen for so long that another one may have its runs."""

import time
from collections.abc import Callable

from llamakeep.domain import Run, utc_now

SAFE_PART = 0.75
"""Of a lease: for so long after a claim, no other server has taken a run over."""


def boot_time() -> float:
    """Return seconds that pass while a machine is suspended, too, where it can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def lateness(
    lease: float, since: float, *, clock: Callable[[], float] = boot_time
) -> Callable[[], bool]:
    """
    Return what tells whether a process was frozen for so long that it lost its run.

    It holds the run for `lease` seconds from `since` by `clock`.
    """
    until = since + lease * SAFE_PART
    return lambda: clock() > until


def claimed_at(run: Run, *, clock: Callable[[], float] = boot_time) -> float:
    """Return when this process claimed a run, a moment ago or before it was frozen."""
    started_at = run.started_at
    age = (utc_now() - started_at).total_seconds() if started_at is not None else 0
    return clock() - max(0.0, age)
