"""How long to wait before starting again what died."""

import time
from collections.abc import Callable

LONGEST = 30.0
"""Seconds; what lived longer has not died again, but for the first time."""


class RestartBackoff:
    """Allows the first new start at once, and later ones after growing pauses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths = 0
        self._begun = self._not_before = clock()

    @property
    def left(self) -> float:
        """Seconds to wait from now on."""
        return max(0.0, self._not_before - self._clock())

    def begin(self) -> None:
        """Remember that it was started just now."""
        self._begun = self._clock()

    def died(self) -> None:
        """Remember that it died, or could not start."""
        now = self._clock()
        self._deaths = 1 if now - self._begun > LONGEST else self._deaths + 1
        pause = min(2.0 ** (self._deaths - 2), LONGEST) if self._deaths > 1 else 0
        self._not_before = now + pause
