"""Whether a process was frozen for so long that another one may have its runs."""

import time
from collections.abc import Callable

SAFE_PART = 0.75
"""Of a lease: for so long after it was renewed, no other node takes runs over."""


def boot_time() -> float:
    """Return seconds that pass while a machine is suspended, too, where it can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lateness:
    """Knows when this process last renewed its lease, which has `lease` seconds."""

    def __init__(self, lease: float, *, clock: Callable[[], float] = boot_time) -> None:
        self.now = clock
        """Returns the time."""
        self.renewed_at = float("-inf")
        """When a renewal was asked for, the last one that succeeded."""
        self._safe = lease * SAFE_PART

    @property
    def has_begun(self) -> bool:
        """Whether there was a lease at all."""
        return self.renewed_at > float("-inf")

    def is_late(self) -> bool:
        """Return whether another node may have this one's runs."""
        return self.now() > self.renewed_at + self._safe
