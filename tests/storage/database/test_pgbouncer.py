"""PostgreSQL behind a pooler that knows no prepared statements."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import DBAPIError

from llamakeep.domain import Run, RunStatus
from llamakeep.storage import Storage, open_storage
from tests.pgbouncer import running_pgbouncer
from tests.storage.running import ended, new_run


@pytest.fixture(params=["session", "transaction"])
def pooled_url(
    request: pytest.FixtureRequest, clean_postgres_url: str
) -> Iterator[str]:
    """The URL of a database behind pgbouncer, in either of its modes."""
    with running_pgbouncer(clean_postgres_url, request.param) as url:
        yield url


async def test_prompts_are_kept_behind_a_pooler(pooled_url: str) -> None:
    # In session mode there are no more connections than the pooler has.
    at_once = 3 if "session" in os.environ["PYTEST_CURRENT_TEST"] else 20
    async with open_storage(pooled_url, migrate=True) as storage:
        alice = await storage.add_user("alice", None)

        async def life(number: int) -> None:
            run = new_run(alice, str(number), metadata={"n": str(number)})
            await storage.accept(run, node="node_1")
            assert await storage.finish(ended(run, response=f"So {number}."))

        for begin in range(0, 100, at_once):
            await asyncio.gather(*map(life, range(begin, begin + at_once)))

        runs = await storage.history(alice, limit=200)
        found = {run.prompt: run.response for run in runs}
        assert all(found[str(n)] == f"So {n}." for n in range(100))
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}


async def test_what_many_callers_write_at_once_takes_few_commits_behind_a_pooler(
    pooled_url: str,
) -> None:
    async with open_storage(pooled_url, migrate=True) as storage:
        alice = await storage.add_user("alice", None)
        new = [new_run(alice, f"Why {number}?") for number in range(100)]
        before = storage.commits

        async def life(run: Run) -> None:
            await storage.accept(run, node="node_1")
            assert await storage.finish(ended(run))

        await asyncio.gather(*map(life, new))

        assert storage.commits - before < 40
        [*_, fallbacks] = storage.commit_series()
        assert not fallbacks.rows


async def test_a_batch_that_is_refused_behind_a_pooler_fails_its_own_caller_only(
    pooled_url: str,
) -> None:
    async with open_storage(pooled_url, migrate=True) as storage:
        alice = await storage.add_user("alice", None)
        new = [new_run(alice, text) for text in ("why", "a\0b", "what")]

        one, failure, other = await asyncio.gather(
            *(storage.accept(run, node="node_1") for run in new),
            return_exceptions=True,
        )

        assert (one, other) == (new[0], new[2])
        assert isinstance(failure, DBAPIError)
        again = new_run(alice, "how")
        assert await storage.accept(again, node="node_1") == again


async def test_locks_of_a_frozen_process_end_behind_a_pooler(pooled_url: str) -> None:
    async with open_storage(pooled_url) as storage:
        assert await _setting(storage, "idle_in_transaction_session_timeout") == "5s"
        assert await _setting(storage, "statement_timeout") == "10s"


async def _setting(storage: Storage, name: str) -> str:
    value: str = await storage._database.write(
        lambda c: c.exec_driver_sql(f"SHOW {name}").scalar_one()
    )
    return value
