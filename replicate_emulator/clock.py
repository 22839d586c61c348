"""A clock that can be turned, so that an hour need not be waited for."""

from datetime import UTC, datetime, timedelta


class Clock:
    """The emulator's idea of what time it is; deltas do not follow it."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self.ahead = timedelta()
        """How far it is ahead of this machine's clock, whatever it was turned by."""
        self._last_stamp = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.offset + self.ahead

    def stamp(self) -> datetime:
        """Return the time, later than every stamp before: a place in an order."""
        self._last_stamp = max(self.now(), self._last_stamp + timedelta(microseconds=1))
        return self._last_stamp

    def advance(self, seconds: float) -> None:
        """Turn the clock forward."""
        self.offset += timedelta(seconds=seconds)
