"""Batches of statements that PostgreSQL refuses, or that meet trouble on their way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from llamakeep.domain import Reservation, Run, RunStatus, Usage, User, new_id
from llamakeep.domain.quotas import Quota
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database.commits import MOST_LOGGED, Commits
from llamakeep.storage.database.postgres.database import PostgresDatabase
from llamakeep.storage.runs.steps import Attached
from tests.storage.gates import Gate, open_gate
from tests.storage.running import LEASE, NODE, ended, new_run
from tests.waiting import until

MANY = 20
LOCK = "SELECT 1 FROM runs WHERE id = $1 FOR UPDATE"


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


@pytest.fixture
async def administrator(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    async with open_gate(database_url) as gate:
        yield gate


@pytest.fixture
async def hurried(gate: Gate) -> AsyncIterator[Storage]:
    """A storage that gives up soon, whose server is behind the gate."""
    async with open_storage(f"{gate.url}?command_timeout=3") as storage:
        yield storage


def fallbacks(storage: Storage) -> dict[str, float]:
    """Return how many statements batches did not do, by the reason."""
    [*_, counted] = storage.commit_series()
    return {reason: row[0] for (reason,), row in counted.rows.items()}


async def accept_all(storage: Storage, new: Sequence[Run]) -> list[Run | BaseException]:
    return await asyncio.gather(
        *(storage.accept(run, node=NODE) for run in new),
        return_exceptions=True,
    )


async def are_blocked(administrator: asyncpg.Connection, number: int = 1) -> None:
    """Wait until so many statements of the database wait for a lock."""
    query = (
        "SELECT count(*) >= $1 FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    await until(lambda: administrator.fetchval(query, number))


async def prompts(storage: Storage, user: User) -> set[str]:
    return {run.prompt for run in await storage.history(user, limit=200)}


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["NUL", "half a character"])
async def test_a_text_that_cannot_be_stored_fails_its_own_caller_only(
    storage: Storage, alice: User, text: str
) -> None:
    # Larger than what the driver sends at once: the first ones are under way already.
    new = [new_run(alice, f"{number} " + "why " * 5000) for number in range(MANY)]

    *kept, failure = await accept_all(storage, [*new, new_run(alice, text)])

    assert kept == new
    assert isinstance(failure, DBAPIError)
    assert await prompts(storage, alice) == {run.prompt for run in new}


async def test_a_batch_that_is_refused_is_counted_and_logged(
    storage: Storage, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    new = [new_run(alice, "why"), new_run(alice, "a\0b")]

    for _ in range(2):
        await accept_all(storage, [replace(run, id=new_id("run_")) for run in new])

    assert fallbacks(storage) == {"refused": 4}
    [logged] = [each for each in caplog.records if "refused a batch" in each.message]
    assert logged.levelno == logging.WARNING
    assert "2 statements" in logged.message
    assert "why" not in logged.message


def test_refusals_are_logged_once_for_a_reason_and_a_few_reasons_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    commits = Commits()

    for number in range(2 * MOST_LOGGED):
        for _ in range(2):
            commits.refused(f"4200{number}", "syntax error", 3)
    commits.refused("23503", "violates a foreign key", 1)
    commits.refused("40P01", "deadlock detected", 1)

    assert len(caplog.records) == MOST_LOGGED
    assert commits.fallbacks.row(("refused",)) == [2 * 2 * MOST_LOGGED * 3 + 2]


async def test_callers_who_are_canceled_take_nobody_along(
    storage: Storage, alice: User
) -> None:
    await accept_all(storage, [new_run(alice, "first")])
    new = [new_run(alice, str(number)) for number in range(MANY)]
    tasks = [asyncio.create_task(storage.accept(run, node=NODE)) for run in new]
    await asyncio.sleep(0)  # all wait for their batch, which is not sent
    for task in tasks[::2]:
        task.cancel()

    done = await asyncio.gather(*tasks, return_exceptions=True)

    assert done[1::2] == new[1::2]
    assert all(isinstance(each, asyncio.CancelledError) for each in done[::2])
    assert await prompts(storage, alice) == {"first"} | {
        run.prompt for run in new[1::2]
    }
    assert fallbacks(storage) == {}


async def forget(_: asyncpg.Connection, connection: asyncpg.Connection) -> None:
    await connection.execute("DISCARD ALL")


async def alter(administrator: asyncpg.Connection, _: asyncpg.Connection) -> None:
    for size in (65, 64):
        await administrator.execute(
            f"ALTER TABLE runs ALTER finish_reason TYPE varchar({size}); "
            f"ALTER TABLE users ALTER username TYPE varchar({size})"
        )


async def end(administrator: asyncpg.Connection, _: asyncpg.Connection) -> None:
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid != pg_backend_pid()"
    )
    await asyncio.sleep(0.1)  # until the connections are known to be closed


@pytest.mark.parametrize("what", [forget, alter, end])
async def test_prepared_statements_that_are_gone_are_prepared_again(
    storage: Storage,
    administrator: asyncpg.Connection,
    alice: User,
    what: Callable[[asyncpg.Connection, asyncpg.Connection], Awaitable[None]],
) -> None:
    database = storage._database
    assert isinstance(database, PostgresDatabase)
    await accept_all(storage, [new_run(alice, "first")])
    [lane] = database._pipelines._lanes["write"]

    await what(administrator, lane.connection)
    new = [new_run(alice, f"Why {number}?") for number in range(MANY)]
    assert await accept_all(storage, new) == new
    before = fallbacks(storage)
    more = [new_run(alice, f"And {number}?") for number in range(MANY)]
    assert await accept_all(storage, more) == more

    assert fallbacks(storage) == before
    assert len(await prompts(storage, alice)) == 1 + 2 * MANY


async def test_a_row_that_is_locked_keeps_only_its_own_caller_waiting(
    hurried: Storage, administrator: asyncpg.Connection, alice: User
) -> None:
    new = [new_run(alice, f"Why {number}?") for number in range(MANY)]
    await accept_all(hurried, new)
    locked = new[MANY // 2]
    async with administrator.transaction():
        await administrator.execute(LOCK, locked.id)
        closing = {
            run.id: asyncio.create_task(hurried.finish(ended(run))) for run in new
        }
        others = [task for run_id, task in closing.items() if run_id != locked.id]
        async with asyncio.timeout(3):
            assert all(await asyncio.gather(*others))
        assert not closing[locked.id].done()

    assert await closing[locked.id]
    assert fallbacks(hurried) == {"refused": MANY}


@pytest.mark.parametrize("step", ["claim", "finish"])
async def test_a_batch_that_is_committed_after_its_connection_broke_off_is_known(
    gate: Gate,
    hurried: Storage,
    administrator: asyncpg.Connection,
    alice: User,
    step: str,
) -> None:
    run = new_run(alice)
    if step == "claim":
        run = replace(run, status=RunStatus.QUEUED, attempt=0, started_at=None)
    await accept_all(hurried, [run])
    async with administrator.transaction():
        await administrator.execute(LOCK, run.id)
        taking = asyncio.create_task(
            hurried.claim(run)
            if step == "claim"
            else hurried.finish(ended(run, response="So."))
        )
        await are_blocked(administrator)
        await gate.shut()
        await gate.open()
        # The second try waits behind the first, of which nobody heard.
        await asyncio.sleep(0.5)

    assert await taking
    kept = await hurried.get_run(alice, run.id)
    assert kept.attempt == 1


async def test_what_closes_the_same_run_twice_settles_it_once(
    storage: Storage, alice: User
) -> None:
    reservation = Reservation(
        quotas=(alice.id,), input_tokens=4, output_tokens=6, cost=Decimal(1)
    )
    run = new_run(alice, reservation=reservation)
    quota = Quota(id=alice.id, name="", whose="user", unit="runs", limit=9)
    await storage.accept(run, node=NODE, quotas=[quota])
    over = ended(run, usage=Usage(1, 2, Decimal(3)))

    closed = await asyncio.gather(*(storage.finish(over) for _ in range(5)))

    assert sorted(closed) == [False] * 4 + [True]
    [count] = await storage.counts([quota])
    assert (count.running, count.tokens_reserved, count.tokens_used) == (0, 0, 3)
    assert (count.cost_reserved, count.cost_used) == (Decimal(0), Decimal(3))


async def test_runs_are_found_by_their_ids_although_few_are_unfinished(
    storage: Storage, administrator: asyncpg.Connection, alice: User
) -> None:
    new = [new_run(alice) for _ in range(200)]
    await accept_all(storage, new)
    await asyncio.gather(*(storage.finish(ended(run)) for run in new))
    await administrator.execute("VACUUM ANALYZE runs")
    used = (
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname "
        "= 'runs_unfinished'"
    )
    before = await administrator.fetchval(used)

    for _ in range(3):
        run = new_run(alice, status=RunStatus.QUEUED, attempt=0, started_at=None)
        await accept_all(storage, [run])
        assert await storage.claim(run)
        run = replace(run, status=RunStatus.STARTING, attempt=1)
        assert await storage.attach(run, run.id) is Attached.KEPT
        await storage.flush([replace(run, response="So")])
        assert await storage.finish(ended(run))
    await storage._database.close()  # what it has counted is told

    assert await administrator.fetchval(used) == before


async def test_deadlocks_with_a_batch_cost_time_and_nothing_else(
    storage: Storage, administrator: asyncpg.Connection, alice: User
) -> None:
    new = [new_run(alice, f"Why {number}?") for number in range(3)]
    await accept_all(storage, new)
    touch = "UPDATE runs SET model = 'touched' WHERE id = $1"

    async with administrator.transaction():
        await administrator.execute(touch, new[2].id)
        closing = asyncio.gather(*(storage.finish(ended(run)) for run in new))
        await are_blocked(administrator)
        # Either may be chosen to give way.
        try:
            async with administrator.transaction():
                await administrator.execute(touch, new[0].id)
        except asyncpg.DeadlockDetectedError:
            pass

    assert await closing == [True] * 3
    assert {run.status for run in await storage.history(alice)} == {RunStatus.SUCCEEDED}


async def test_a_batch_and_a_node_that_joins_again_do_not_wait_for_each_other(
    storage: Storage, administrator: asyncpg.Connection, alice: User
) -> None:
    new = [new_run(alice) for _ in range(10)]
    await accept_all(storage, new)
    count = "SELECT deadlocks FROM pg_stat_database WHERE datname=current_database()"
    before = await administrator.fetchval(count)
    async with administrator.transaction():
        await administrator.execute(LOCK, new[5].id)
        closing = asyncio.gather(*(storage.finish(ended(run)) for run in new[::-1]))
        await are_blocked(administrator)
        joining = asyncio.create_task(storage.join(NODE, lease=LEASE))
        await are_blocked(administrator, 2)

    assert await closing == [True] * len(new)
    assert await joining == []
    assert await administrator.fetchval(count) == before


async def test_without_a_connection_for_batches_all_is_done_on_the_others(
    database_url: str, administrator: asyncpg.Connection, alice: User
) -> None:
    await administrator.execute(
        "CREATE ROLE narrow LOGIN IN ROLE pg_read_all_data, pg_write_all_data "
        "CONNECTION LIMIT 2"
    )
    url = urlsplit(database_url)
    netloc = url.netloc.replace("postgres@", "narrow@")
    try:
        async with open_storage(url._replace(netloc=netloc).geturl()) as storage:
            new = [new_run(alice, f"Why {number}?") for number in range(MANY)]
            # Both connections are taken by what takes a transaction each.
            users = [storage.history(alice) for _ in range(10)]
            kept, *_ = await asyncio.gather(accept_all(storage, new), *users)

            assert kept == new
            assert len(await prompts(storage, alice)) == MANY
    finally:
        await administrator.execute("DROP ROLE narrow")
