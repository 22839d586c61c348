"""Users who are deleted: gone at once, and what was theirs a little later."""

import asyncio

import pytest
from sqlalchemy import update

from llamakeep.deletion.retention import sweep
from llamakeep.deletion.users import purge_one
from llamakeep.domain import Actor, AuditKind, User, utc_now
from llamakeep.errors import UserNotFound
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.deletion import users as deleted_users
from llamakeep.storage.deletion.traces import DeletionPace
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import EVERYTHING
from tests.storage.running import delete_user, ended, start
from tests.waiting import LONG_ENOUGH

NOBODY = Actor(address="here")


async def keep(storage: Storage, user: User, count: int) -> None:
    for n in range(count):
        await storage.add(user, f"prompt {n}", "response")


async def left(storage: Storage, user: User) -> int:
    return await storage.count_runs(user, EVERYTHING, before=HIGHEST)


async def test_whoever_is_deleted_is_gone_before_their_runs_are(
    storage: Storage, alice: User, bob: User
) -> None:
    await keep(storage, alice, 3)
    await storage.set_retention(alice.id, 1, actor=NOBODY)

    await storage.delete_user(alice.id, actor=NOBODY)

    assert await left(storage, alice) == 3
    assert await storage.list_users() == await storage.page_of_users() == [bob]
    assert await storage.find_credentials("alice") is None
    for again in (
        storage.get_user(alice.id),
        storage.delete_user(alice.id, actor=NOBODY),
    ):
        with pytest.raises(UserNotFound):
            await again
    assert await sweep(storage, 1) == 0


async def test_the_name_of_whoever_is_deleted_can_be_taken_again_at_once(
    storage: Storage, alice: User
) -> None:
    await keep(storage, alice, 1)
    await storage.delete_user(alice.id, actor=NOBODY)

    another = await storage.add_user("alice", None)
    await purge_one(storage)

    assert another.id != alice.id
    assert await storage.list_users() == [another]


async def test_one_process_at_a_time_purges_a_user(
    storage: Storage, alice: User, bob: User
) -> None:
    for user in (alice, bob):
        await storage.delete_user(user.id, actor=NOBODY)

    claimed = [await storage.claim_deleted_user() for _ in range(3)]

    assert {user.id for user in claimed if user} == {alice.id, bob.id}
    assert claimed[2] is None


@pytest.mark.slow
async def test_a_purge_that_broke_off_is_gone_on_with_when_its_lease_is_over(
    storage: Storage, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_users, "LEASE", 60)
    await keep(storage, alice, 200)
    await keep(storage, bob, 1)
    await storage.delete_user(alice.id, actor=NOBODY)
    purging = asyncio.create_task(purge_one(storage))
    async with asyncio.timeout(LONG_ENOUGH):
        while await left(storage, alice) == 200:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.001)
    purging.cancel()
    await asyncio.wait([purging])
    between = await left(storage, alice)
    at_first = await purge_one(storage)

    await storage._database.write(
        lambda c: c.execute(update(users).values(purge_until=utc_now())).close()
    )
    later = await purge_one(storage)

    assert 0 < between < 200
    assert (at_first, later) == (False, True)
    assert await storage.is_purged(alice)
    assert await left(storage, bob) == 1
    kinds = [event.kind for event in await storage.audit()]
    assert kinds == [AuditKind.USER_PURGED, AuditKind.USER_DELETED]


@pytest.mark.slow
async def test_a_purge_that_takes_longer_than_its_lease_keeps_it(
    storage: Storage, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_users, "LEASE", 1.5)
    await start(storage, alice)
    await storage.delete_user(alice.id, actor=NOBODY)
    purging = asyncio.create_task(purge_one(storage, patience=2.5))
    await asyncio.sleep(2)

    assert await storage.claim_deleted_user() is None
    assert await purging


async def test_of_two_who_finish_a_purge_one_is_remembered(
    storage: Storage, alice: User
) -> None:
    await storage.delete_user(alice.id, actor=NOBODY)

    await asyncio.gather(*(storage.finish_purge(alice) for _ in range(3)))

    kinds = [event.kind for event in await storage.audit()]
    assert kinds == [AuditKind.USER_PURGED, AuditKind.USER_DELETED]


async def test_a_run_that_ends_during_a_purge_is_gone_with_the_others(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    deleting = asyncio.create_task(delete_user(storage, alice))
    await asyncio.sleep(0.1)

    finished = await storage.finish(ended(run, response="late"))
    await deleting

    assert finished
    assert await left(storage, alice) == 0


async def test_runs_are_deleted_for_as_long_as_others_may_wait(
    sqlite_url: str,
) -> None:
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        await keep(storage, alice, 10)
        run_ids = await storage.find_finished(alice, before=HIGHEST, limit=10)

        briefly = await storage.forget(
            alice, run_ids, DeletionPace(3, 0, keeps_words=True, rest=1)
        )
        longer = await storage.forget(
            alice, run_ids, DeletionPace(3, 30, keeps_words=True, rest=1)
        )

    assert (briefly.tried, briefly.deleted) == (3, 3)
    # What is gone already is not counted again.
    assert (longer.tried, longer.deleted) == (10, 7)
