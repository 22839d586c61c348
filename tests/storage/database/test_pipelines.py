"""Errors of batches that are neither PostgreSQL's nor the driver's."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import create_async_engine

from llamakeep.storage.database.commits import Commits
from llamakeep.storage.database.postgres.pipelines import Pipelines
from llamakeep.storage.database.prepared import Prepared
from llamakeep.storage.database.tables import runs

DIALECT = create_async_engine("postgresql+asyncpg://").dialect
STATEMENT = Prepared(select(runs.c.id).where(runs.c.id == bindparam("run_id")))


async def test_no_caller_waits_for_ever_for_a_batch_that_failed_unexpectedly() -> None:
    async def connect(_: str) -> asyncpg.Connection:
        raise ZeroDivisionError

    pipelines = Pipelines(connect, DIALECT, Commits())

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await pipelines.run(STATEMENT, {"run_id": "run_1"}, "read")

    await pipelines.close()
