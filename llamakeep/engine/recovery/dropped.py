"""Runs that fail by a bug again and again: each is tried less and less often."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

LONGEST_PAUSE = 3600.0
"""Seconds after which a run is tried again at the latest."""


@dataclass(slots=True)
class _Pause:
    seconds: float
    until: float
    was_woken: bool = False


class Dropped:
    """
    What this process could not close by a bug, and when it is tried again.

    The first pause has `first_pause` seconds; each is twice the one before.
    """

    def __init__(
        self, first_pause: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_pause = first_pause
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}

    def add(self, run_id: str) -> None:
        """Let a run rest that has failed, for longer than after its last failure."""
        now = self._clock()
        for each, pause in tuple(self._pauses.items()):
            if pause.until + LONGEST_PAUSE < now:
                del self._pauses[each]  # another process has tried it since
        pause = self._pauses.setdefault(run_id, _Pause(self._first_pause / 2, now))
        pause.seconds = min(2 * pause.seconds, LONGEST_PAUSE)
        pause.until = now + pause.seconds

    def discard(self, run_id: str) -> None:
        """Forget a run that has ended, or is another process's."""
        self._pauses.pop(run_id, None)

    def wake(self, run_id: str) -> None:
        """End a pause early, once a run: it is to be canceled, which may succeed."""
        pause = self._pauses.get(run_id)
        if pause is not None and not pause.was_woken:
            pause.was_woken = True
            pause.until = self._clock()

    def resting(self) -> Collection[str]:
        """Return the runs that are not to be tried yet."""
        if not self._pauses:
            return ()
        now = self._clock()
        return [each for each, pause in self._pauses.items() if now < pause.until]
