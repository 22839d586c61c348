"""Finding the runs of one end user among very many."""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, text

from llamakeep.domain import Run, User, utc_now
from llamakeep.domain.quotas import Quota
from llamakeep.errors import QuotaExceeded
from llamakeep.storage import Storage
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.runs.rows import to_row
from tests.storage.running import ended, new_run

OTHERS, HIS = 3000, 5


async def test_the_runs_of_an_end_user_are_read_from_their_index(
    storage: Storage, alice: User
) -> None:
    his = [ended(new_run(alice, end_user="4711")) for _ in range(HIS)]
    others = [ended(new_run(alice)) for _ in range(OTHERS)]
    rows = [to_row(run) for run in (*his, *others)]
    matching = RunFilter(end_user="4711")

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

    assert "runs_by_end_user" in plan_of_page
    assert "sort" not in plan_of_page.lower()
    found = await storage.history(alice, matching=matching)
    assert [run.id for run in found] == [run.id for run in his[::-1]]


async def test_prompts_at_once_do_not_overrun_the_limit_of_an_end_user(
    storage: Storage, alice: User
) -> None:
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    quota = Quota(
        id=f"{alice.id}:{today:%Y-%m-%d}",
        name="end_user_prompts_per_day",
        whose="user",
        unit="prompts",
        limit=3,
        user_id=alice.id,
        end_user="4711",
        begins_at=today,
        ends_at=today + timedelta(days=1),
    )

    async def accept() -> Run:
        run = new_run(alice, end_user="4711")
        return await storage.accept(run, node="node_1", quotas=[quota])

    found = await asyncio.gather(*(accept() for _ in range(10)), return_exceptions=True)

    refusals = [one for one in found if isinstance(one, QuotaExceeded)]
    assert len(refusals) == 7
    assert len(await storage.history(alice)) == 3
