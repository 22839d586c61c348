"""Rate limits: buckets that fill up again by themselves."""

import math
import time
from dataclasses import dataclass, field

from replicate_emulator.routes.problems import throttled
from replicate_emulator.settings import EmulatorSettings

_SHOWN = {"create": 600, "get": 60_000}
_SHOWN_OTHERWISE = 3000
"""What the headers start from while nothing is limited; as recorded."""


@dataclass(slots=True)
class _Bucket:
    size: float
    per_second: float
    level: float = field(init=False)
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.level = self.size

    def take(self) -> float:
        """Take one if there is one; return the seconds until there is one."""
        now = time.monotonic()
        self.level = min(self.size, self.level + (now - self.at) * self.per_second)
        self.at = now
        if self.level < 1:
            return (1 - self.level) / self.per_second
        self.level -= 1
        return 0


class Limits:
    """How many requests the account may still send."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self._low_credit = settings.low_credit
        self._with_header = settings.retry_after_header
        self._creates: _Bucket | None = None
        self._others: _Bucket | None = None
        if settings.low_credit:
            self._creates = _Bucket(1, 6 / 60)
        elif settings.creates_per_minute:
            rate = settings.creates_per_minute
            self._creates = _Bucket(rate, rate / 60)
        if settings.requests_per_minute:
            rate = settings.requests_per_minute
            self._others = _Bucket(rate, rate / 60)

    def admit(self, kind: str) -> dict[str, str]:
        """
        Count a request and return the response headers about it.

        Raises:
            Problem: 429, if there were too many.
        """
        bucket = self._creates if kind == "create" else self._others
        remaining = _SHOWN.get(kind, _SHOWN_OTHERWISE) - 1
        if bucket is not None:
            if wait := bucket.take():
                raise throttled(
                    math.ceil(wait),
                    low_credit=self._low_credit and kind == "create",
                    with_header=self._with_header,
                )
            remaining = int(bucket.level)
        return {"ratelimit-remaining": str(remaining), "ratelimit-reset": "1"}
