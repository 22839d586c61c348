"""Replicate's clock, which decides what was created when; ours may be wrong."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

APART = timedelta(minutes=5)
"""How far the clocks may be apart that Replicate's own servers have."""


class RemoteClock:
    """The time at Replicate, as its last response told it."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._heard: tuple[datetime, float] | None = None

    def hear(self, date: str | None) -> None:
        """Take in the `Date` header of a response."""
        if date is None:
            return
        with suppress(ValueError, OverflowError, TypeError):
            said = parsedate_to_datetime(date)
            if said.tzinfo is None:
                said = said.replace(tzinfo=UTC)
            self._heard = said, self._clock()

    def now(self) -> datetime | None:
        """Return what time it is there, if it was ever told."""
        if self._heard is None:
            return None
        said, at = self._heard
        with suppress(OverflowError):
            return said + timedelta(seconds=self._clock() - at)
        return None

    def earliest(
        self, within: timedelta, created: Iterable[datetime | None]
    ) -> datetime | None:
        """
        Return when something was created at the earliest that is so old at most.

        It is `within` that time by a clock as fast as Replicate's. The newest
        predictions were `created` then: what is in the list cannot be newer than all of
        them, wherever `Date` comes from.
        """
        known = [each for each in created if each is not None]
        with suppress(OverflowError):
            if (now := self.now()) is not None:
                known.append(now - APART)
            return max(known) - within if known else None
        return None
