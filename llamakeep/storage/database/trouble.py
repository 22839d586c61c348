"""The database's failures, and a log line when they begin and end."""

import logging
import time
from collections.abc import Callable
from typing import Literal

from llamakeep.errors import StorageUnavailable

QUIET = 5.0
"""Seconds without a failure after which a database counts as usable again."""

log = logging.getLogger(__name__)

Kind = Literal["read", "write"]


class Trouble:
    """
    Records since when a database fails, for one event loop.

    It logs two lines, however many failures lie between.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self.since: float | None = None
        """When the failures began."""
        self.error: StorageUnavailable | None = None
        """The last failure, while there are any."""
        self.wrote_at = float("-inf")
        """When the last write succeeded."""
        self._kind: Kind = "read"
        self._failed_at = float("-inf")
        self.is_announced = False
        """Whether the log says that the database fails."""

    def failed(self, kind: Kind, error: StorageUnavailable, reason: str) -> None:
        """Record a failure; `reason` is the database's message."""
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
        """Record a success; after failed writes, a read does not count."""
        if kind == "write":
            self.wrote_at = self.now()
        if not self.is_announced or (kind == "read" and self._kind == "write"):
            return
        self.since = self.error = None
        # On a nearly full disk, small writes succeed and large ones fail.
        if self.now() - self._failed_at >= QUIET:
            log.warning("the database can be used again")
            self.is_announced = False
