"""How many write transactions were committed, how long they took, and in batches."""

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Literal

from llamakeep.metrics.families import Series
from llamakeep.metrics.metrics import BATCHES, COMMITS, FALLBACKS, OPERATIONS
from llamakeep.storage.database.trouble import Kind

Reason = Literal["changed-nothing", "no-connection", "refused"]

EXPECTED = ("23", "40")
"""SQLSTATE prefixes of refusals that a caller's data or a collision explains."""
MOST_LOGGED = 16

log = logging.getLogger(__name__)


class Commits:
    """Counts commits; they are all made on one thread."""

    def __init__(self) -> None:
        self.seconds = Series(COMMITS)
        self.operations = Series(OPERATIONS)
        self.batches = Series(BATCHES)
        self.fallbacks = Series(FALLBACKS)
        self._row = self.seconds.row(())
        self._operations = self.operations.row(())
        self._logged: set[str] = set()

    @property
    def number(self) -> int:
        """How many there were."""
        return int(sum(self._row[:-1]))

    @property
    def series(self) -> Sequence[Series]:
        """All that is counted."""
        return self.seconds, self.operations, self.batches, self.fallbacks

    def add(self, began: float, *, operations: int = 1) -> None:
        """Count one that began at `began` by `perf_counter`."""
        self.seconds.observe((), perf_counter() - began)
        self._operations[0] += operations

    def sent(self, kind: Kind, statements: int) -> None:
        """Count a batch that PostgreSQL did."""
        self.batches.observe((kind,), statements)

    def fell_back(self, reason: Reason, statements: int = 1) -> None:
        """Count statements that a batch did not do."""
        self.fallbacks.add(reason, amount=statements)

    def refused(self, sqlstate: str, message: str, statements: int) -> None:
        """
        Count a batch that PostgreSQL refused, and log the first one for its reason.

        A statement that never works would otherwise only be slow.
        """
        self.fell_back("refused", statements)
        is_known = sqlstate in self._logged or len(self._logged) >= MOST_LOGGED
        if is_known or sqlstate.startswith(EXPECTED):
            return
        self._logged.add(sqlstate)
        log.warning(
            "PostgreSQL refused a batch of %d statements, which take a transaction "
            "each now; further refusals with SQLSTATE %s are only counted: %s",
            statements,
            sqlstate,
            message,
        )
