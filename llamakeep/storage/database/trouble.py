"""Whether the database can be used, and a line in the log when that changes."""

import logging
import time
from collections.abc import Callable
from typing import Literal

from llamakeep.errors import StorageUnavailable

QUIET = 5.0
"""Seconds without a failure after which what failed is said to work again."""

log = logging.getLogger(__name__)

Kind = Literal["read", "write"]


class Trouble:
    """
    Remembers since when a database fails; two lines are logged, whatever fails between.

    It is used on one event loop.

    Args:
        clock: Says what time it is, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self.since: float | None = None
        """When it began to fail."""
        self.error: StorageUnavailable | None = None
        """What it said last, while it fails."""
        self.wrote_at = float("-inf")
        """When it last kept something."""
        self._kind: Kind = "read"
        self._failed_at = float("-inf")
        self.is_announced = False
        """Whether the log says that it fails."""

    def failed(self, kind: Kind, error: StorageUnavailable, reason: str) -> None:
        """Remember a failure, with what the database itself says."""
        self._failed_at = self.now()
        if self.since is None:
            self.since = self._failed_at
            self._kind = kind
            if not self.is_announced:
                log.warning("the database cannot be used: %s", reason)
                self.is_announced = True
        elif kind == "write":
            self._kind = kind
        self.error = error

    def worked(self, kind: Kind) -> None:
        """Remember a success; that something can be read does not mean that it fits."""
        if kind == "write":
            self.wrote_at = self.now()
        if not self.is_announced or (kind == "read" and self._kind == "write"):
            return
        self.since = self.error = None
        # On a nearly full disk, some of what is written fits and some does not.
        if self.now() - self._failed_at >= QUIET:
            log.warning("the database can be used again")
            self.is_announced = False
