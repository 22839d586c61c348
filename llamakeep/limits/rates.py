"""
Rate limiting with a sliding window.

In *any* period, never more requests than the rate's amount pass. (A fixed window lets
twice as many pass around its end, and so does a token bucket after a pause.) To bound
memory, requests are counted in sixtieths of the period, each of which expires as a
whole: so a request may be refused up to a sixtieth of the period longer than necessary.
"""

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from llamakeep.domain.rates import Rate

STEPS = 60
"""Into how many steps a period is divided."""

Kind = Literal["address", "login", "key", "user"]


class Limit(NamedTuple):
    """The rate limit of one client, API key or user."""

    kind: Kind
    whose: str
    """An address, or the id of an API key or a user."""
    rate: Rate


class Standing(NamedTuple):
    """The state of a limit after a request was counted or refused."""

    limit: Limit
    left: int
    """How many more requests may be sent now."""
    more_in: float
    """Seconds until `left` grows."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request passes; it counts for all of its limits or for none."""

    is_let_through: bool
    standings: tuple[Standing, ...]


class Counts(Protocol):
    """Counts requests: in this process, in the parent process, or in Valkey."""

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        """Count a request unless one of the limits is reached."""
        ...

    async def close(self) -> None:
        """Release connections and memory."""
        ...


class OwnCounts:
    """Counts in this process: of each rate, the `max_windows` most recently used."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, max_windows: int = 50_000
    ) -> None:
        self._clock = clock
        self._max_windows = max_windows
        self._windows: dict[tuple[Kind, Rate], OrderedDict[str, _Window]] = {}

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        """Count a request unless one of the limits is reached."""
        now = self._clock()
        windows = [self._window(limit, now) for limit in limits]
        is_let_through = all(
            window.total < limit.rate.amount
            for window, limit in zip(windows, limits, strict=True)
        )
        if is_let_through:
            for window in windows:
                window.add(now)
        standings = tuple(
            Standing(limit, limit.rate.amount - window.total, window.more_in(now))
            for window, limit in zip(windows, limits, strict=True)
        )
        return Verdict(is_let_through, standings)

    async def close(self) -> None:
        """Drop all counts."""
        self._windows.clear()

    def _window(self, limit: Limit, now: float) -> "_Window":
        windows = self._windows.setdefault((limit.kind, limit.rate), OrderedDict())
        window = windows.get(limit.whose)
        if window is None:
            window = windows[limit.whose] = _Window(limit.rate.seconds)
            self._forget(windows, now)
        else:
            window.forget(now)
            windows.move_to_end(limit.whose)
        return window

    def _forget(self, windows: "OrderedDict[str, _Window]", now: float) -> None:
        """Drop up to two of the oldest windows that are empty or too many."""
        for _ in range(2):
            whose, oldest = next(iter(windows.items()))
            oldest.forget(now)
            if len(windows) > self._max_windows or (
                not oldest.total and len(windows) > 1
            ):
                del windows[whose]


class _Window:
    """The requests of the last period: the end and the count of each step."""

    # Arrays take a quarter of the memory of lists.
    __slots__ = ("_counts", "_ends", "_seconds", "_step", "total")

    def __init__(self, seconds: int) -> None:
        self.total = 0
        self._seconds = seconds
        self._step = seconds / STEPS
        self._ends = array("d")
        self._counts = array("Q")

    def forget(self, now: float) -> None:
        begun = now - self._seconds
        old = 0
        for end, count in zip(self._ends, self._counts, strict=True):
            if end > begun:
                break
            self.total -= count
            old += 1
        if old:
            del self._ends[:old], self._counts[:old]

    def add(self, now: float) -> None:
        self.total += 1
        end = (now // self._step + 1) * self._step
        if self._ends and self._ends[-1] >= end:
            self._counts[-1] += 1
        else:
            self._ends.append(end)
            self._counts.append(1)

    def more_in(self, now: float) -> float:
        return self._ends[0] + self._seconds - now if self._ends else 0
