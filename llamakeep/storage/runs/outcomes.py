"""What became of a COMMIT that broke off."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, select

from llamakeep.domain import RunStatus
from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage.database.port import Database, Operation, T
from llamakeep.storage.database.tables import runs

S = TypeVar("S")
LOOKS = (0.1, 0.4, 1.0, 2.0)
"""Seconds to wait before each look for what may have been committed."""

# What a step of a run leaves behind, named by what it is given.
IS_KEPT = select(runs.c.id).where(runs.c.id == bindparam("run_id"))
IS_CLAIMED = IS_KEPT.where(
    runs.c.status == RunStatus.STARTING,
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
    Find out what became of a COMMIT that broke off.

    Args:
        database: Where it was.
        again: Does the same where nothing was committed; otherwise returns what was.
        unknown: What was said then.

    Raises:
        OutcomeUnknown: The database does not come back soon enough.
    """
    for pause in LOOKS:
        await asyncio.sleep(pause)
        try:
            return await database.write(again)
        except StorageUnavailable:
            continue
    raise unknown


def unless(
    is_done: Select[Any], values: Mapping[str, Any], result: S, operation: Operation[T]
) -> Operation[S | T]:
    """Return what does `operation` if `is_done` finds no row, else returns `result`."""

    def again(connection: Connection) -> S | T:
        found = connection.scalar(is_done, values)
        return operation(connection) if found is None else result

    return again
