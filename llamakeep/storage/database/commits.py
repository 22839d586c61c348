"""How many write transactions were committed, and how long they took."""

from time import perf_counter

from llamakeep.metrics.families import Series
from llamakeep.metrics.metrics import COMMITS, OPERATIONS


class Commits:
    """Counts commits; they are all made on one thread."""

    def __init__(self) -> None:
        self.seconds = Series(COMMITS)
        self.operations = Series(OPERATIONS)
        self._row = self.seconds.row(())
        self._operations = self.operations.row(())

    @property
    def number(self) -> int:
        """How many there were."""
        return int(sum(self._row[:-1]))

    def add(self, began: float, *, operations: int = 1) -> None:
        """Count one that began at `began` by `perf_counter`."""
        self.seconds.observe((), perf_counter() - began)
        self._operations[0] += operations
