"""What processes use of the machine: CPU time and memory, as Linux counts them."""

import math
import os
import re
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

HAS_PROC = sys.platform == "linux"


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of all threads that the process has and had."""
    if not HAS_PROC:
        return math.nan
    # The process's CPU clock, in nanoseconds; `/proc/PID/stat` says the same in
    # hundredths of a second. See clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)


def family(pid: int) -> list[int]:
    """Return the process and all that descend from it."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir() if HAS_PROC else ():
        with suppress(OSError, ValueError):
            _, _, rest = (entry / "stat").read_text().rpartition(")")
            children[int(rest.split()[1])].append(int(entry.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children[found[-1]]
    return found


def memory(pid: int) -> float:
    """Return the MB that the process and its descendants have, shared ones in parts."""
    total = 0
    for each in family(pid):
        with suppress(OSError):
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            found = re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
            total += int(found[1]) if found else 0
    return total * 1024 / 1e6 if total else math.nan


class Others:
    """How many cores whoever else is on the machine keeps busy."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._before = self._now()

    def cores(self) -> float:
        """Return that for the time since the last call."""
        began, machine, ours = self._before
        self._before = now, busy, mine = self._now()
        return max(0.0, ((busy - machine) - (mine - ours)) / (now - began))

    def _now(self) -> tuple[float, float, float]:
        if not HAS_PROC:
            return time.monotonic(), math.nan, math.nan
        first, _, _ = Path("/proc/stat").read_text().partition("\n")
        ticks = [int(field) for field in first.split()[1:9]]
        idle = ticks[3] + ticks[4]
        busy = (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
        ours = sum(cpu_seconds(pid) for pid in (*self._pids, os.getpid()))
        return time.monotonic(), busy, ours
