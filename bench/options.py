"""What can be chosen for a run of the benchmark."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: float
    """For each burst of requests."""
    database: Path | None
    """A SQLite file that `python -m bench.history --database` filled."""
