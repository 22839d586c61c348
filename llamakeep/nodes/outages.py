"""Nodes that could not be reached, and when they are tried again."""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from llamakeep.http.errors import ConnectError

SHORTEST, LONGEST = 1.0, 16.0
"""
Seconds until a node is tried again: as long as it could not be reached for, between
these.
"""

TOLD_AFTER = 5.0
"""Seconds of an outage after which the log says so; a dead node is known by then."""

FORGOTTEN_AFTER = 60.0
"""Seconds after which an outage does not count any more, if nothing tried again."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outage:
    since: float
    until: float
    """When it is tried again."""
    is_told: bool = False


class Outages:
    """
    Keeps requests away from nodes that could not be reached.

    When it is tried again, it is by one request at a time: each of them, and who reads
    what it is to bring, waits for it.

    Args:
        now: A clock that does not jump, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: dict[str, _Outage] = {}

    def __len__(self) -> int:
        """Return how many nodes could not be reached."""
        return len(self._recent())

    def is_resting(self, node: str) -> bool:
        """Return whether a node is not tried now."""
        outage = self._known.get(node)
        return outage is not None and self._now() < outage.until

    def check(self, node: str, within: float) -> None:
        """
        Let a request to a node pass, which knows `within` seconds if it is reached.

        Raises:
            ConnectError: It is not tried now.
        """
        if self.is_resting(node):
            raise ConnectError("It could not be reached a moment ago.")
        if (outage := self._known.get(node)) is not None:
            outage.until = self._now() + within

    def begin(self, node: str, address: str, error: ConnectError) -> None:
        """Take note that a node could not be reached."""
        now = self._now()
        self._known = self._recent()
        outage = self._known.setdefault(node, _Outage(now, now))
        lasted = now - outage.since
        outage.until = now + min(max(lasted, SHORTEST), LONGEST)
        if lasted >= TOLD_AFTER and not outage.is_told:
            outage.is_told = True
            log.warning(
                "%s cannot be reached at %s (%s); its runs are read in the database",
                *(node, address, reason_of(error)),
            )

    def end(self, node: str) -> None:
        """Take note that a node was reached."""
        outage = self._known.pop(node, None)
        if outage is not None and outage.is_told:
            log.warning("%s is reached again", node)

    def _recent(self) -> dict[str, _Outage]:
        first = self._now() - FORGOTTEN_AFTER
        return {node: each for node, each in self._known.items() if each.until > first}


def reason_of(error: ConnectError) -> str:
    """Return why a node could not be reached, as an operator may read it."""
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return "What listens there has another certificate than the node."
    return str(error)
