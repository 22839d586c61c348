"""What this process works on, for its metrics."""

from collections.abc import Mapping, Sequence

from llamakeep.domain import UNFINISHED
from llamakeep.engine.live import LiveRun
from llamakeep.metrics.families import Family, Series
from llamakeep.settings import Settings

_RUNS = Family(
    "llamakeep_runs_in_process",
    "Runs that the server's processes work on, by status.",
    "gauge",
    ("status",),
)
_MOST_RUNNING = Family(
    "llamakeep_runs_most_running", "How many runs may be worked on at once.", "gauge"
)
_MOST_QUEUED = Family(
    "llamakeep_runs_most_queued", "How many more runs may wait.", "gauge"
)


def load_series(live: Mapping[str, LiveRun], settings: Settings) -> Sequence[Series]:
    """Return how many runs this process has, and how many it may have."""
    runs, most_running, most_queued = map(Series, (_RUNS, _MOST_RUNNING, _MOST_QUEUED))
    for status in sorted(UNFINISHED):
        runs.add(status, amount=0)
    for one in live.values():
        runs.add("queued" if one.is_waiting else one.run.status)
    most_running.add(amount=settings.max_running)
    most_queued.add(amount=settings.max_queued)
    return runs, most_running, most_queued
