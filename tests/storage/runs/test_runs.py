import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import StatementError

from llamakeep.domain import (
    ForbiddenTransition,
    Message,
    Parameters,
    RunStatus,
    Usage,
    User,
    utc_now,
)
from llamakeep.errors import IdempotencyKeyReused, RunNotFound
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database.port import Operation
from llamakeep.storage.runs.lookups import IdempotencyKey
from llamakeep.storage.runs.steps import Attached
from tests.storage.running import LEASE, NODE, ended, new_run, start

KEY = IdempotencyKey("once", b"1" * 32)


async def test_a_run_comes_back_as_it_was_accepted(
    storage: Storage, alice: User
) -> None:
    run = new_run(
        alice,
        prompt="Grüße, \N{WAVING HAND SIGN}\n",
        system_prompt="Be kind.",
        prior_messages=(Message("user", "Hi\n"), Message("assistant", "Grüße")),
        previous_run_id="run_before",
        parameters=Parameters(max_tokens=5, temperature=0.5, stop=("\n", "END")),
        metadata={"project": "Größe"},
    )

    await storage.accept(run, node=NODE)

    assert await storage.get_run(alice, run.id) == run


async def test_a_finished_run_comes_back_as_it_was_finished(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    end = ended(
        run,
        response="Because.",
        resolved_model="parrot-2",
        finish_reason="stop",
        usage=Usage(input_tokens=0, output_tokens=2, cost=Decimal("0.00000095")),
    )

    assert await storage.finish(end)

    assert await storage.get_run(alice, run.id) == end


async def test_an_answer_that_two_runs_have_is_kept_by_both(
    storage: Storage, alice: User
) -> None:
    one, other = [await start(storage, alice) for _ in range(2)]
    assert await storage.attach(one, "p1") is Attached.KEPT

    assert await storage.finish(replace(ended(other, response="Yes."), handle="p1"))

    kept = await storage.get_run(alice, other.id)
    assert (kept.response, kept.handle) == ("Yes.", None)
    assert (await storage.get_run(alice, one.id)).handle == "p1"


async def test_a_handle_that_another_run_has_stays_its(
    storage: Storage, alice: User
) -> None:
    one, other = [await start(storage, alice) for _ in range(2)]
    await storage.attach(one, "p1")

    assert await storage.attach(other, "p1") is Attached.TAKEN

    assert await storage.finish(ended(one, response="Yes."))
    assert await storage.attach(one, "p2") is Attached.LOST
    kept = await storage.get_run(alice, other.id)
    assert (kept.status, kept.handle) == (RunStatus.PROCESSING, None)
    assert (await storage.get_run(alice, one.id)).handle is None


async def test_the_same_idempotency_key_is_the_same_run(
    storage: Storage, alice: User
) -> None:
    first = await start(storage, alice, idempotency_key=KEY)

    again = await start(storage, alice, idempotency_key=KEY)

    assert again == first
    assert await storage.history(alice) == [first]


async def test_the_same_idempotency_key_returns_what_became_of_the_run(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, idempotency_key=KEY)
    await storage.finish(ended(run, response="Because."))

    again = await start(storage, alice, idempotency_key=KEY)

    assert again.response == "Because."
    assert again.status is RunStatus.SUCCEEDED


async def test_an_idempotency_key_does_not_serve_another_request(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, idempotency_key=KEY)

    with pytest.raises(IdempotencyKeyReused, match=run.id):
        await start(storage, alice, idempotency_key=IdempotencyKey("once", b"2" * 32))

    assert await storage.history(alice) == [run]


async def test_the_same_idempotency_key_of_somebody_else_is_another_run(
    storage: Storage, alice: User, bob: User
) -> None:
    hers = await start(storage, alice, idempotency_key=KEY)

    his = await start(storage, bob, idempotency_key=KEY)

    assert his.id != hers.id
    assert await storage.history(bob) == [his]


async def test_fifty_simultaneous_requests_with_one_key_make_one_run(
    storage: Storage, alice: User
) -> None:
    accepted = await asyncio.gather(
        *(start(storage, alice, idempotency_key=KEY) for _ in range(50))
    )

    assert await storage.history(alice) == [accepted[0]]
    assert {run.id for run in accepted} == {accepted[0].id}


async def test_simultaneous_requests_to_two_servers_with_one_key_make_one_run(
    clean_postgres_url: str,
) -> None:
    async with (
        open_storage(clean_postgres_url) as one,
        open_storage(clean_postgres_url) as other,
    ):
        alice = await one.add_user("alice", "hash of alice's password")

        accepted = await asyncio.gather(
            *(start(server, alice, idempotency_key=KEY) for server in [one, other] * 25)
        )

        assert await one.history(alice) == [accepted[0]]
    assert {run.id for run in accepted} == {accepted[0].id}


async def test_a_queued_run_is_claimed_once(storage: Storage, alice: User) -> None:
    run = await start(storage, alice, status=RunStatus.QUEUED, attempt=0)

    claims = await asyncio.gather(*(storage.claim(run) for _ in range(5)))

    assert sorted(claims) == [False, False, False, False, True]
    stored = await storage.get_run(alice, run.id)
    assert (stored.status, stored.attempt) == (RunStatus.STARTING, 1)


async def test_a_run_that_is_going_on_cannot_be_claimed(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    assert not await storage.claim(run)


@pytest.mark.parametrize("attempt", [0, 2])
async def test_another_attempt_cannot_finish_a_run(
    storage: Storage, alice: User, attempt: int
) -> None:
    run = await start(storage, alice)

    assert not await storage.finish(ended(replace(run, attempt=attempt)))

    assert await storage.get_run(alice, run.id) == run


async def test_a_run_is_finished_once(storage: Storage, alice: User) -> None:
    run = await start(storage, alice)
    first = ended(run, response="Because.")
    await storage.finish(first)

    assert not await storage.finish(ended(run, RunStatus.FAILED))

    assert await storage.get_run(alice, run.id) == first


async def test_an_unfinished_status_cannot_finish_a_run(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    with pytest.raises(ForbiddenTransition):
        await storage.finish(ended(run, RunStatus.QUEUED))


async def test_texts_so_far_are_kept(storage: Storage, alice: User) -> None:
    one, other = await start(storage, alice), await start(storage, alice)

    await storage.flush(
        [
            replace(one, response="Be", common_length=None),
            replace(other, response="So", common_length=1),
        ]
    )

    assert await storage.get_run(alice, one.id) == replace(
        one, status=RunStatus.PROCESSING, response="Be"
    )
    assert await storage.get_run(alice, other.id) == replace(
        other, status=RunStatus.PROCESSING, response="So", common_length=1
    )


async def test_a_late_text_does_not_touch_a_finished_run(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    end = ended(run, response="Because.")
    await storage.finish(end)

    await storage.flush([replace(run, response="Be")])

    assert await storage.get_run(alice, run.id) == end


async def test_the_text_of_an_old_attempt_is_not_kept(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, attempt=2)

    await storage.flush([replace(run, attempt=1, response="Be")])

    assert await storage.get_run(alice, run.id) == run


async def test_a_node_finds_out_which_of_its_runs_are_to_be_canceled(
    storage: Storage, alice: User
) -> None:
    wanted, unwanted = await start(storage, alice), await start(storage, alice)
    await storage.request_cancel(alice, unwanted.id)

    held = await storage.held_runs(NODE)

    assert {(one.run_id, one.cancel_requested) for one in held} == {
        (wanted.id, False),
        (unwanted.id, True),
    }


async def test_a_node_holds_neither_the_runs_of_another_nor_finished_ones(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    await storage.finish(ended(await start(storage, alice)))

    assert [each.run_id for each in await storage.held_runs(NODE)] == [run.id]
    assert await storage.held_runs("node_2") == []


async def test_a_run_that_its_node_forgot_is_taken_over_by_it(
    storage: Storage, alice: User
) -> None:
    await storage.join(NODE, lease=LEASE)
    known, forgotten = await start(storage, alice), await start(storage, alice)

    taken = await storage.take_over(NODE, working_on=[known.id])

    assert taken == [replace(forgotten, attempt=2)]


async def test_a_run_that_a_node_begins_to_work_on_is_not_taken_from_it(
    storage: Storage, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.join(NODE, lease=LEASE)
    run = await start(storage, alice)
    working_on: dict[str, None] = {}
    write = storage._database.write

    async def begin_and_write(operation: Operation[Any]) -> Any:
        working_on[run.id] = None
        return await write(operation)

    monkeypatch.setattr(storage._database, "write", begin_and_write)

    assert await storage.take_over(NODE, working_on=working_on) == []


async def test_runs_of_a_node_that_has_not_joined_are_taken_over(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    assert await storage.take_over("node_2") == [replace(run, attempt=2)]


async def test_runs_of_a_living_node_are_not_taken_from_it(
    storage: Storage, alice: User
) -> None:
    await storage.join(NODE, lease=LEASE)
    await start(storage, alice)

    assert await storage.take_over("node_2", working_on=[]) == []


async def test_a_run_of_a_node_that_is_known_to_be_dead_is_taken_over_at_once(
    storage: Storage, alice: User
) -> None:
    await storage.join(NODE, lease=LEASE)
    run = await start(storage, alice)

    await storage.release_leases([NODE])

    assert await storage.take_over("node_2") == [replace(run, attempt=2)]


async def test_a_run_is_taken_over_by_one_node(storage: Storage, alice: User) -> None:
    if storage.is_sole_owner:
        pytest.skip("There is one node on this database.")
    for number in range(2, 7):
        await storage.join(f"node_{number}", lease=LEASE)
    runs = [await start(storage, alice) for _ in range(10)]

    taken = await asyncio.gather(*(storage.take_over(f"node_{n}") for n in range(2, 7)))

    assert sorted(run.id for some in taken for run in some) == [run.id for run in runs]


async def test_finished_runs_are_not_taken_over(storage: Storage, alice: User) -> None:
    await storage.finish(ended(await start(storage, alice)))

    assert await storage.take_over("node_2") == []


async def test_left_runs_are_taken_over_in_portions_in_which_users_take_turns(
    storage: Storage, alice: User, bob: User
) -> None:
    await storage.join("node_2", lease=LEASE)
    alices = sorted([(await start(storage, alice)).id for _ in range(3)])
    bobs = [(await start(storage, bob)).id]

    async def take(most: int, after_user: str = "") -> list[str]:
        taken = await storage.take_over("node_2", most=most, after_user=after_user)
        return [run.id for run in taken]

    assert sorted(await take(2)) == sorted([alices[0], *bobs])
    assert await take(1) == [alices[1]]
    assert await take(5) == [alices[2]]
    assert await take(5) == []


async def test_left_runs_that_are_to_be_canceled_are_taken_over_first(
    storage: Storage, alice: User
) -> None:
    await storage.join("node_2", lease=LEASE)
    _, second, third = sorted(
        [await start(storage, alice) for _ in range(3)], key=lambda r: r.id
    )
    for run in (second, third):
        await storage.request_cancel(alice, run.id)

    [first_taken] = await storage.take_over("node_2", most=1)
    rest = await storage.take_over("node_2", most=9, only_canceled=True)

    assert first_taken.id == second.id
    assert [run.id for run in rest] == [third.id]


async def test_five_nodes_share_what_was_left(storage: Storage, alice: User) -> None:
    if storage.is_sole_owner:
        pytest.skip("There is one node on this database.")
    for number in range(2, 7):
        await storage.join(f"node_{number}", lease=LEASE)
    left = [(await start(storage, alice)).id for _ in range(20)]

    portions = await asyncio.gather(
        *(storage.take_over(f"node_{n}", most=4) for n in range(2, 7))
    )

    assert all(len(portion) <= 4 for portion in portions)
    taken = [run.id for portion in portions for run in portion]
    assert len(taken) == len(set(taken)) >= 4
    assert set(taken) <= set(left)


async def test_a_prompt_that_may_be_stored_is_stored_once(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    other = new_run(alice)

    for again in (run, other, other):
        kept = await storage.accept(again, node=NODE, may_be_stored=True)
        assert kept == again

    assert len(await storage.history(alice)) == 2


async def test_who_lost_a_run_cannot_write_to_it(storage: Storage, alice: User) -> None:
    run = await start(storage, alice)
    await storage.flush([replace(run, response="Be")])
    [taken] = await storage.take_over("node_2")

    await storage.flush([replace(run, response="Beyond")])

    assert not await storage.finish(ended(run, response="Beyond"))
    assert await storage.held_runs(NODE) == []
    assert await storage.get_run(alice, run.id) == taken
    assert taken.response == "Be"


async def test_a_cancel_is_remembered_until_the_run_is_over(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    asked = await storage.request_cancel(alice, run.id)

    assert asked == replace(run, cancel_requested=True)
    assert await storage.get_run(alice, run.id) == asked


async def test_a_finished_run_cannot_be_canceled(storage: Storage, alice: User) -> None:
    run = ended(await start(storage, alice))
    await storage.finish(run)

    assert await storage.request_cancel(alice, run.id) == run


async def test_somebody_elses_run_does_not_exist(
    storage: Storage, alice: User, bob: User
) -> None:
    run = await start(storage, alice)

    with pytest.raises(RunNotFound):
        await storage.get_run(bob, run.id)
    with pytest.raises(RunNotFound):
        await storage.request_cancel(bob, run.id)
    with pytest.raises(RunNotFound):
        await storage.delete_run(bob, run.id)

    assert await storage.get_run(alice, run.id) == run


async def test_a_deleted_run_is_gone(storage: Storage, alice: User) -> None:
    run, other = await start(storage, alice), await start(storage, alice)

    await storage.delete_run(alice, run.id)

    assert await storage.history(alice) == [other]
    with pytest.raises(RunNotFound):
        await storage.delete_run(alice, run.id)


async def test_an_added_pair_is_a_finished_run(storage: Storage, alice: User) -> None:
    run = await storage.add(alice, "Why?", "Because.")

    assert await storage.history(alice) == [run]
    assert run.status is RunStatus.SUCCEEDED
    assert (run.prompt, run.response) == ("Why?", "Because.")
    assert await storage.take_over("node_2") == []


async def test_added_pairs_take_their_place_by_the_moment_they_are_from(
    storage: Storage, alice: User
) -> None:
    now = utc_now()
    young = await storage.add(alice, "Young?", "Yes.", created_at=now)
    old = await storage.add(alice, "Old?", "Yes.", created_at=now - timedelta(days=9))
    middle = await storage.add(alice, "?", "!", created_at=now - timedelta(days=3))

    assert await storage.history(alice) == [young, middle, old]


async def test_adding_a_pair_again_with_its_key_changes_nothing(
    storage: Storage, alice: User
) -> None:
    first = await storage.add(alice, "Why?", "Because.", idempotency_key=KEY)

    again = await storage.add(alice, "Why?", "Because.", idempotency_key=KEY)

    assert again == first
    assert await storage.history(alice) == [first]


async def test_a_moment_without_a_zone_is_refused(
    storage: Storage, alice: User
) -> None:
    with pytest.raises((ValueError, StatementError), match="time zone"):
        await storage.add(
            alice,
            "When?",
            "Then.",
            created_at=datetime(2025, 6, 28),  # noqa: DTZ001 - that is the point
        )

    assert await storage.history(alice) == []


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2025, 6, 28, 12, 34, 56, 123456, tzinfo=UTC),
        datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=UTC),
        datetime.fromisoformat("2025-06-28T23:59:59.999999+05:45"),
    ],
)
async def test_a_moment_comes_back_to_the_microsecond_in_utc(
    storage: Storage, alice: User, moment: datetime
) -> None:
    run = await start(storage, alice, created_at=moment)

    stored = await storage.get_run(alice, run.id)

    assert stored.created_at == moment
    assert stored.created_at.utcoffset() == timedelta(0)
