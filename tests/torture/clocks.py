"""Clocks that are wrong: processes whose time of day is not ours, by libfaketime."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.processes import Runner

AHEAD, BEHIND = 120.0, -120.0
"""Seconds; more than what a server takes for the provider's and its own difference."""
NOTICED = 2.0
"""Seconds after which a process that runs has the time that was set."""


class ClockUnavailable(Exception):
    """There is no libfaketime on this machine."""


class Clock:
    """
    The time of day of some processes; their monotonic clock is everybody's.

    Args:
        file: Where it is kept.

    Raises:
        ClockUnavailable: It says why.
    """

    def __init__(self, file: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))
        if not libraries:
            raise ClockUnavailable("There is no libfaketime: apt-get install faketime")
        self._library = libraries[0]
        self._file = file
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that is to have this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: float) -> None:
        """Be so many seconds ahead of the right time; also for who runs already."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.replace(self._file)  # a process never reads half of it


@contextmanager
def clocked_runner(folder: Path, seconds: float = 0) -> Iterator[tuple[Runner, Clock]]:
    """
    Start servers with a clock of their own.

    Raises:
        ClockUnavailable: It says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clock = Clock(folder / "clock")
    clock.set(seconds)
    runner = Runner(folder, environment=clock.environment)
    try:
        yield runner, clock
    finally:
        runner.close()
