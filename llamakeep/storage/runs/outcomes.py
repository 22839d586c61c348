"""Recovery from a COMMIT whose outcome is unknown."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, select

from llamakeep.domain import RunEvent, RunStatus
from llamakeep.domain.states import follow
from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage.database.port import Database, Operation, T
from llamakeep.storage.database.tables import runs

S = TypeVar("S")
LOOKS = (0.1, 0.4, 1.0, 2.0)
"""Seconds to wait before each look at what was committed."""
LONGEST = 5.0
"""Seconds for all of them."""

# Rows that a committed step leaves, found with the step's own parameters.
IS_KEPT = select(runs.c.id).where(runs.c.id == bindparam("run_id"))
IS_CLAIMED = IS_KEPT.where(
    runs.c.status == follow(RunStatus.QUEUED, RunEvent.CLAIM).status,
    runs.c.attempt - 1 == bindparam("fence"),
    runs.c.started_at == bindparam("now"),
)
IS_CLOSED = IS_KEPT.where(
    runs.c.attempt == bindparam("fence"),
    runs.c.status == bindparam("new_status"),
    runs.c.finished_at == bindparam("new_finished_at"),
)


async def find_out(
    database: Database, again: Operation[T], unknown: OutcomeUnknown
) -> T:
    """
    Look whether a COMMIT of unknown outcome was done, and repeat it if not.

    Unless the operation was committed, `again` repeats it.

    Raises:
        OutcomeUnknown: The database did not come back soon enough.
    """
    # A database that is frozen would have each look wait for its timeout.
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):
            for pause in LOOKS:
                await asyncio.sleep(pause)
                with suppress(StorageUnavailable):
                    return await database.write(again)
    raise unknown


def unless(
    is_done: Select[Any], values: Mapping[str, Any], result: S, operation: Operation[T]
) -> Operation[S | T]:
    """Return an operation that runs `operation` only if `is_done` finds no row."""

    def found(connection: Connection) -> bool:
        return connection.scalar(is_done, values) is not None

    def again(connection: Connection) -> S | T:
        if found(connection):
            return result
        done = operation(connection)
        # The first try may have been committed while this one waited for its locks.
        return result if not done and found(connection) else done

    return again
