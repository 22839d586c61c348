"""
Conditions on the status of runs.

They are literals: SQLite does not use a partial index for bound parameters. And they
are comparisons: SQLite makes a table of what follows `IN`, for each row that is written
and each index with such a condition, which took a third of a write's time (measured).
"""

from collections.abc import Set as AbstractSet

from sqlalchemy import text

from llamakeep.domain import UNFINISHED, RunStatus


def is_one_of(statuses: AbstractSet[RunStatus], status: str = "status") -> str:
    """Return the condition that a run's `status` is among `statuses`."""
    return "(" + " OR ".join(f"{status} = '{s}'" for s in sorted(statuses)) + ")"


IS_UNFINISHED = text(is_one_of(UNFINISHED))
IS_FINISHED = text(is_one_of(frozenset(RunStatus) - UNFINISHED))
FAILED_WAYS = frozenset(
    {RunStatus.FAILED, RunStatus.CANCELED, RunStatus.EXPIRED, RunStatus.INTERRUPTED}
)
"""Ends other than success, which are rare enough for an index."""
