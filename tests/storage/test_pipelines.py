"""Statements of many callers in one commit to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from llamakeep.domain import Actor, Limits, Reservation, Run, Usage, User
from llamakeep.domain.quotas import Quota
from llamakeep.errors import TooManyRuns, Unauthenticated
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.runs.lookups import IdempotencyKey
from tests.storage.running import NODE, delete_user, ended, new_run

MANY = 100


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[Storage]:
    """The storage of another node on the same database."""
    async with open_storage(database_url) as storage:
        yield storage


def bounded(user: User, ids: Sequence[str]) -> tuple[Run, Sequence[Quota]]:
    """Return a run, and quotas that ten such runs fill."""
    reservation = Reservation(
        quotas=tuple(sorted(ids)),
        input_tokens=4,
        output_tokens=6,
        cost=Decimal("0.001"),
    )
    limits = [
        Quota(id=id_, name="concurrent_runs", whose="user", unit="runs", limit=10)
        for id_ in ids
    ]
    return new_run(user, reservation=reservation), limits


async def accept(storage: Storage, run: Run, **how: Any) -> Run:
    return await storage.accept(run, node=NODE, **how)


async def test_what_many_callers_write_at_once_takes_few_commits(
    storage: Storage, alice: User
) -> None:
    new = [new_run(alice, f"Why {number}?") for number in range(MANY)]
    before = storage.commits

    await asyncio.gather(*(accept(storage, run) for run in new))
    assert all(
        await asyncio.gather(
            *(storage.finish(ended(run, response="So.")) for run in new)
        )
    )

    assert storage.commits - before == 2
    kept = await storage.history(alice, limit=MANY)
    assert {(run.id, run.prompt, run.response) for run in kept} == {
        (run.id, run.prompt, "So.") for run in new
    }


async def test_keys_quotas_and_tags_take_no_commits_of_their_own(
    storage: Storage, alice: User
) -> None:
    [run, quotas] = bounded(alice, [alice.id])
    await accept(storage, run, quotas=quotas)
    quotas = [replace(quota, limit=1000) for quota in quotas]
    new = [
        replace(bounded(alice, [alice.id])[0], metadata={"number": str(number)})
        for number in range(MANY)
    ]
    before = storage.commits

    kept = await asyncio.gather(
        *(
            accept(
                storage,
                run,
                quotas=quotas,
                idempotency_key=IdempotencyKey(run.id, b"digest"),
            )
            for run in new
        )
    )
    assert all(await asyncio.gather(*map(storage.finish, map(ended, kept))))

    assert storage.commits - before == 2


async def test_what_one_caller_cannot_write_keeps_nobody_else_from_it(
    storage: Storage, alice: User
) -> None:
    bob = await storage.add_user("bob", None)
    await delete_user(storage, bob)
    new = [new_run(alice) for _ in range(9)]

    *kept, refused = await asyncio.gather(
        *(accept(storage, run) for run in (*new, new_run(bob))), return_exceptions=True
    )

    assert kept == new
    assert isinstance(refused, Unauthenticated)
    assert len(await storage.history(alice)) == len(new)


async def test_a_run_that_was_closed_already_is_said_not_to_be_closed_with_others(
    storage: Storage, alice: User
) -> None:
    new = [await accept(storage, new_run(alice)) for _ in range(3)]
    assert await storage.finish(ended(new[1]))

    closed = await asyncio.gather(*(storage.finish(ended(run)) for run in new))

    assert closed == [True, False, True]


async def test_one_idempotency_key_makes_one_run_however_many_ask_at_once(
    storage: Storage, elsewhere: Storage, alice: User
) -> None:
    key = IdempotencyKey("key", b"digest")

    kept = await asyncio.gather(
        *(
            accept(each, new_run(alice), idempotency_key=key)
            for each in (storage, elsewhere) * 10
        )
    )

    assert len({run.id for run in kept}) == 1
    assert len(await storage.history(alice)) == 1


async def test_tags_are_written_with_the_run(storage: Storage, alice: User) -> None:
    tagged = new_run(alice, metadata={"team": "blue"})

    await asyncio.gather(accept(storage, tagged), accept(storage, new_run(alice)))

    [found] = await storage.history(alice, matching=RunFilter(tags=("team:blue",)))
    assert found == tagged


async def test_limits_hold_on_two_nodes_at_once_and_are_free_again_afterwards(
    storage: Storage, elsewhere: Storage, alice: User
) -> None:
    tried = [bounded(alice, ["server", alice.id]) for _ in range(40)]

    results = await asyncio.gather(
        *(
            accept(each, run, quotas=quotas)
            for each, (run, quotas) in zip(
                (storage, elsewhere) * 20, tried, strict=True
            )
        ),
        return_exceptions=True,
    )

    kept = [each for each in results if isinstance(each, Run)]
    assert len(kept) == 10
    assert sum(isinstance(each, TooManyRuns) for each in results) == 30
    [count, _] = await storage.counts(tried[0][1])
    assert (count.running, count.tokens_reserved) == (10, 100)
    assert {run.usage for run in await storage.history(alice)} == {Usage()}

    usage = Usage(1, 2, Decimal("0.000000003"))
    assert all(
        await asyncio.gather(*(storage.finish(ended(run, usage=usage)) for run in kept))
    )

    assert {run.usage for run in await storage.history(alice)} == {usage}
    for count in await elsewhere.counts(tried[0][1]):
        assert (count.running, count.tokens_reserved, count.tokens_used) == (0, 0, 30)
        assert count.cost_reserved == 0
        assert count.cost_used == Decimal("0.00000003")


async def test_nodes_whose_callers_share_quotas_crosswise_do_not_block_each_other(
    storage: Storage, elsewhere: Storage, database_url: str, alice: User
) -> None:
    names = ["a", "b", "c", "d"]
    first, quotas = bounded(alice, names)
    await accept(storage, first, quotas=quotas)
    pairs = [("a", "d"), ("b", "c"), ("d", "b"), ("c", "a")]

    async def work(each: Storage, ids: Sequence[str]) -> None:
        run, quotas = bounded(alice, ids)
        quotas = [replace(quota, limit=1000) for quota in quotas]
        await accept(each, run, quotas=quotas)
        assert await each.finish(ended(run))

    administrator = await asyncpg.connect(database_url)
    deadlocks = (
        "SELECT deadlocks FROM pg_stat_database WHERE datname=current_database()"
    )
    before = await administrator.fetchval(deadlocks)
    for _ in range(5):
        await asyncio.gather(
            *(work(storage, ids) for ids in pairs),
            *(work(elsewhere, ids) for ids in reversed(pairs)),
        )
    assert await administrator.fetchval(deadlocks) == before
    await administrator.close()


async def test_users_with_limits_and_models_are_let_in_with_them(
    storage: Storage, alice: User
) -> None:
    limits = Limits(tokens_per_day=7)
    models = frozenset({"one:*", "fast"})
    await storage.set_limits(alice.id, limits, actor=Actor())
    await storage.set_models(alice.id, models, actor=Actor())
    await storage.add_access_token(alice, b"digest", lifetime=timedelta(hours=1))

    user = await storage.find_user_by_access_token(b"digest")

    assert user is not None
    assert (user.limits, user.models) == (limits, models)


async def test_a_key_that_is_revoked_on_one_node_is_refused_by_the_next_request_on_all(
    storage: Storage, elsewhere: Storage, database_url: str, alice: User
) -> None:
    await storage.add_access_token(alice, b"digest", lifetime=timedelta(hours=1))
    actor = Actor()
    async with open_storage(database_url) as third:
        nodes = (storage, elsewhere, third)

        async def let_in() -> set[bool]:
            found = await asyncio.gather(
                *(each.find_user_by_access_token(b"digest") for each in nodes * 10)
            )
            return {user is not None for user in found}

        assert await let_in() == {True}
        for node in nodes:
            await node.change_user(alice.id, is_disabled=True, actor=actor)
            assert await let_in() == {False}
            await storage.change_user(alice.id, is_disabled=False, actor=actor)
            await storage.add_access_token(
                alice, b"digest", lifetime=timedelta(hours=1)
            )
            assert await let_in() == {True}
