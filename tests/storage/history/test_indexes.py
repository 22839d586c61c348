"""Finding a few of very many runs without looking at the others."""

from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from llamakeep.domain import UNFINISHED, User
from llamakeep.storage import Storage
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.runs.rows import to_row
from tests.storage.running import ended, new_run

OTHERS, FEW = 3000, 5


@pytest.mark.parametrize(
    ("matching", "index"),
    [
        (RunFilter(end_user="4711"), "runs_by_end_user"),
        (RunFilter(statuses=UNFINISHED), "runs_unfinished"),
    ],
)
async def test_few_runs_are_read_from_their_index(
    storage: Storage, alice: User, matching: RunFilter, index: str
) -> None:
    few = [new_run(alice, end_user="4711") for _ in range(FEW)]
    others = [ended(new_run(alice)) for _ in range(OTHERS)]
    rows = [to_row(run) for run in (*few, *others)]

    def plan(connection: Connection) -> str:
        connection.execute(insert(runs), rows)
        dialect = connection.dialect.name
        explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
        if dialect == "postgresql":
            connection.execute(text("ANALYZE runs"))
        query: Any = select(runs.c.id, runs.c.prompt).where(
            *matching.conditions(alice, dialect)
        )
        newest = query.order_by(runs.c.id.desc()).limit(50)
        compiled = newest.compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        found = connection.exec_driver_sql(explain + str(compiled)).all()
        return "\n".join([str(row) for row in found])

    plan_of_page = await storage._database.write(plan)

    assert index in plan_of_page
    # Few runs are unfinished, in whatever order; an end user may have many.
    assert "sort" not in plan_of_page.lower() or matching.end_user is None
    found = await storage.history(alice, matching=matching)
    assert [run.id for run in found] == [run.id for run in few[::-1]]
