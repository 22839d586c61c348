"""This process, as Prometheus's own clients describe one."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from llamakeep.metrics.families import Family, Series

_CPU = Family("process_cpu_seconds_total", "CPU time, of all workers together.")
_MEMORY = Family(
    "process_resident_memory_bytes", "Memory of all workers together.", "gauge"
)
_OPEN = Family("process_open_fds", "Open files, of all workers together.", "gauge")
_MOST_OPEN = Family(
    "process_max_fds", "How many all workers together may open.", "gauge"
)


def process_series() -> Sequence[Series]:
    """Return what the operating system knows; on some, that is the CPU time alone."""
    cpu, memory, open_, most = map(Series, (_CPU, _MEMORY, _OPEN, _MOST_OPEN))
    cpu.add(amount=time.process_time())
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on Windows

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        memory.add(amount=pages * os.sysconf("SC_PAGE_SIZE"))
        open_.add(amount=sum(1 for _ in Path("/proc/self/fd").iterdir()))
        most.add(amount=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return cpu, memory, open_, most
