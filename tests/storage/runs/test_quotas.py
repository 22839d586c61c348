"""Quotas are neither overrun by races nor leaked, on both databases alike."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from time import monotonic

import pytest

from llamakeep.domain import Reservation, Run, RunStatus, Usage, User, utc_now
from llamakeep.domain.quotas import Count, Quota
from llamakeep.errors import LimitReached, QuotaExceeded
from llamakeep.storage import Storage
from tests.storage.running import NODE, delete_user, ended, new_run

EACH = 30
RESERVATION = Reservation(
    quotas=("q:day", "q:now"), input_tokens=10, output_tokens=20, cost=Decimal("0.01")
)


def quotas(user: User, *, tokens: int = 1000, runs: int = 1000) -> list[Quota]:
    tomorrow = utc_now() + timedelta(days=1)
    return [
        Quota(
            id="q:day",
            name="tokens_per_day",
            whose="user",
            unit="tokens",
            limit=tokens,
            user_id=user.id,
            ends_at=tomorrow,
        ),
        Quota(
            id="q:now",
            name="concurrent_runs",
            whose="user",
            unit="runs",
            limit=runs,
            user_id=user.id,
        ),
    ]


async def accept(storage: Storage, user: User, wanted: list[Quota]) -> Run:
    run = new_run(user, reservation=RESERVATION)
    return await storage.accept(run, node=NODE, quotas=wanted)


async def test_of_two_hundred_at_once_only_as_many_get_in_as_there_is_room_for(
    storage: Storage, alice: User
) -> None:
    wanted = quotas(alice)

    asked = await asyncio.gather(
        *(accept(storage, alice, wanted) for _ in range(200)), return_exceptions=True
    )

    granted = [run for run in asked if isinstance(run, Run)]
    assert len(granted) == 1000 // EACH
    assert sum(isinstance(error, QuotaExceeded) for error in asked) == 200 - 33
    assert (
        await storage.counts(wanted)
        == [Count(running=33, tokens_reserved=990, cost_reserved=Decimal("0.33"))] * 2
    )


async def test_a_run_is_settled_once_whoever_closes_it(
    storage: Storage, alice: User
) -> None:
    wanted = quotas(alice)
    run = await accept(storage, alice, wanted)
    done = ended(run, usage=Usage(4, 5, Decimal("0.002")), response="Because.")
    taken = Count(tokens_used=9, cost_used=Decimal("0.002"))

    closed = await asyncio.gather(*(storage.finish(done) for _ in range(5)))

    assert sorted(closed) == [False] * 4 + [True]
    assert await storage.counts(wanted) == [taken] * 2


async def test_a_run_that_another_process_finishes_gives_back_what_it_did_not_take(
    storage: Storage, alice: User
) -> None:
    # What was sent before counts: about a token for three of its ten bytes.
    wanted = quotas(alice, tokens=EACH + 4)
    await storage.accept(
        new_run(alice, reservation=RESERVATION), node="dead", quotas=wanted
    )
    [taken] = await storage.take_over("alive")

    await storage.finish(ended(taken, RunStatus.INTERRUPTED))

    assert taken.reservation == RESERVATION
    [day, now] = await storage.counts(wanted)
    assert (day.tokens_used, day.tokens_reserved, now.running) == (4, 0, 0)
    await accept(storage, alice, wanted)


async def test_of_several_upstreams_the_one_that_answered_is_charged(
    storage: Storage, alice: User
) -> None:
    names = ("scripted", "scripted.2", "other")
    wanted = [
        Quota(
            id=f"upstream:{name}:2026-11",
            name="dollars_per_month",
            whose="upstream",
            unit="dollars",
            limit=Decimal(1),
            subject=name,
            ends_at=utc_now() + timedelta(days=1),
        )
        for name in names
    ]
    reservation = replace(RESERVATION, quotas=tuple(sorted(q.id for q in wanted)))
    run = new_run(alice, reservation=reservation)
    await storage.accept(run, node=NODE, quotas=wanted)

    await storage.finish(ended(run, usage=Usage(4, 5, Decimal("0.002"))))

    used = Count(tokens_used=9, cost_used=Decimal("0.002"))
    assert await storage.counts(wanted) == [used, Count(), Count()]


async def test_a_refusal_reserves_nothing_anywhere(
    storage: Storage, alice: User
) -> None:
    wanted = quotas(alice, runs=1)
    await accept(storage, alice, wanted)

    [refusal] = await asyncio.gather(
        accept(storage, alice, wanted), return_exceptions=True
    )

    assert isinstance(refusal, LimitReached)
    assert (await storage.counts(wanted))[0].tokens_reserved == EACH


async def test_a_user_who_is_deleted_leaves_nothing_reserved_of_what_all_share(
    storage: Storage, alice: User
) -> None:
    shared = [replace(quota, user_id=None) for quota in quotas(alice)]
    await accept(storage, alice, shared)

    await delete_user(storage, alice, patience=0)

    assert await storage.counts(shared) == [Count()] * 2


async def test_counts_of_long_ago_are_forgotten(storage: Storage, alice: User) -> None:
    long_ago = utc_now() - timedelta(days=100)
    [day, now] = quotas(alice)
    old = replace(day, id="q:old", ends_at=long_ago)
    run = new_run(alice, reservation=replace(RESERVATION, quotas=("q:old",)))
    await storage.accept(run, node=NODE, quotas=[old])
    await storage.finish(ended(run, usage=Usage(1, 1, Decimal(0))))
    assert await storage.counts([old]) == [Count(tokens_used=2)]

    await accept(storage, alice, [day, now])

    assert await storage.counts([old]) == [Count()]


async def test_runs_that_begin_and_end_at_once_never_wait_crosswise(
    storage: Storage, alice: User
) -> None:
    # Rows that are found in another order than that of their ids.
    names = ("e", "b", "d", "a", "c")
    wanted = [replace(quotas(alice)[1], id=f"q:{name}") for name in names]
    reservation = replace(RESERVATION, quotas=tuple(sorted(each.id for each in wanted)))
    for each in wanted:
        one = replace(reservation, quotas=(each.id,))
        await storage.accept(new_run(alice, reservation=one), node=NODE, quotas=[each])

    async def client() -> None:
        for _ in range(5):
            run = new_run(alice, reservation=reservation)
            await storage.accept(run, node=NODE, quotas=wanted)
            assert await storage.finish(ended(run, usage=Usage(1, 1, Decimal(0))))

    began = monotonic()
    await asyncio.gather(*(client() for _ in range(8)))

    # PostgreSQL looks for a deadlock after a second.
    assert monotonic() - began < 5
    assert {count.running for count in await storage.counts(wanted)} == {1}


@pytest.mark.slow
async def test_runs_that_end_while_their_user_is_purged_are_settled_once(
    storage: Storage, bob: User
) -> None:
    shared = [replace(quota, user_id=None) for quota in quotas(bob)]
    for n in range(5):
        gone = await storage.add_user(f"gone{n}", None)
        going_on = [await accept(storage, gone, shared) for _ in range(4)]

        await asyncio.gather(
            delete_user(storage, gone, patience=0),
            *(storage.finish(ended(run, RunStatus.CANCELED)) for run in going_on),
        )

    [day, now] = await storage.counts(shared)
    assert (day.tokens_reserved, now.running) == (0, 0)
