import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from llamakeep.domain import Actor, AuditKind, User, UserRole, new_id
from llamakeep.errors import (
    LastAdmin,
    ResetRefused,
    SetupRefused,
    Unauthenticated,
    UserNotFound,
)
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.accounts.audit import KEPT
from llamakeep.storage.accounts.tables import audit_events
from llamakeep.storage.deletion.traces import SHARED
from tests.storage.running import delete_user, ended, new_run, start

DIGEST = b"d" * 32
NOBODY = Actor(address="here")


async def test_of_two_administrators_who_lock_each_other_out_one_stays(
    storage: Storage,
) -> None:
    admins = [
        await storage.add_user(name, "a hash", role=UserRole.ADMIN) for name in "ab"
    ]

    outcomes = await asyncio.gather(
        *(
            storage.change_user(each.id, role=UserRole.USER, actor=NOBODY)
            for each in admins
        ),
        return_exceptions=True,
    )

    left = [u for u in await storage.list_users() if u.role is UserRole.ADMIN]
    assert len(left) == 1
    assert [type(each) for each in outcomes].count(LastAdmin) == 1


async def test_only_one_of_many_becomes_the_first_administrator(
    storage: Storage,
) -> None:
    outcomes = await asyncio.gather(
        *(
            storage.add_first_admin(f"user{n}", "a hash", actor=NOBODY)
            for n in range(5)
        ),
        return_exceptions=True,
    )

    [first] = await storage.list_users()
    assert first.role is UserRole.ADMIN
    assert [type(each) for each in outcomes].count(SetupRefused) == 4


async def test_who_only_exists_on_the_command_line_does_not_count_as_a_user(
    storage: Storage,
) -> None:
    await storage.add_user("local", None)

    assert not await storage.has_users()
    await storage.add_first_admin("root", "a hash", actor=NOBODY)
    assert await storage.has_users()


async def test_a_reset_that_is_used_twice_at_once_counts_once(
    storage: Storage, alice: User
) -> None:
    hour = timedelta(hours=1)
    await storage.add_password_reset(alice.id, DIGEST, lifetime=hour, actor=NOBODY)

    outcomes = await asyncio.gather(
        *(storage.reset_password(DIGEST, f"hash {n}", actor=NOBODY) for n in range(5)),
        return_exceptions=True,
    )

    assert [type(each) for each in outcomes].count(ResetRefused) == 4


async def test_an_expired_reset_is_refused(storage: Storage, alice: User) -> None:
    none = timedelta(0)
    await storage.add_password_reset(alice.id, DIGEST, lifetime=none, actor=NOBODY)

    with pytest.raises(ResetRefused):
        await storage.check_password_reset(DIGEST)
    with pytest.raises(ResetRefused):
        await storage.reset_password(DIGEST, "hash", actor=NOBODY)

    known = await storage.find_credentials("alice")
    assert known is not None
    assert known.password_hash == "hash of alice's password"


async def test_a_change_that_is_refused_is_not_in_the_audit_log(
    storage: Storage,
) -> None:
    root = await storage.add_user("root", "a hash", role=UserRole.ADMIN)

    with pytest.raises(LastAdmin):
        await storage.change_user(root.id, is_disabled=True, actor=NOBODY)
    with pytest.raises(UserNotFound):
        await storage.change_user("user_x", is_disabled=True, actor=NOBODY)

    assert await storage.audit() == []


async def test_what_is_so_already_is_not_in_the_audit_log(
    storage: Storage, alice: User
) -> None:
    for is_disabled in (False, True, True):
        await storage.change_user(
            alice.id, role=UserRole.USER, is_disabled=is_disabled, actor=NOBODY
        )

    events = await storage.audit()
    assert [event.kind for event in events] == [AuditKind.USER_DISABLED]
    assert events[0].username == "alice"
    assert events[0].address == "here"


async def test_events_are_forgotten_after_their_time(
    storage: Storage, alice: User
) -> None:
    await storage.add_failed_login(alice, NOBODY)
    [event] = await storage.audit()
    old = new_id("event_", at=event.at - KEPT)
    await storage._database.write(
        lambda c: c.execute(audit_events.update().values(id=old)).close()
    )

    await storage.add_failed_login(None, NOBODY)

    assert [each.username for each in await storage.audit()] == [None]


@pytest.mark.slow
async def test_purging_takes_more_than_one_turn_and_only_that_users_runs(
    storage: Storage, alice: User, bob: User
) -> None:
    for n in range(SHARED.at_once + 1):
        await storage.add(alice, f"prompt {n}", "response")
    kept = await storage.add(bob, "prompt", "response")
    await storage.add_access_token(alice, DIGEST, lifetime=timedelta(hours=1))

    await delete_user(storage, alice)

    assert await storage.list_users() == [bob]
    assert await storage.history(alice) == []
    assert await storage.history(bob) == [kept]
    assert await storage.find_user_by_access_token(DIGEST) is None
    assert [event.kind for event in await storage.audit()][:2] == [
        AuditKind.USER_PURGED,
        AuditKind.USER_DELETED,
    ]


async def test_a_run_that_does_not_stop_cannot_write_to_what_is_purged(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    await delete_user(storage, alice, patience=0.01)

    assert not await storage.finish(ended(run, response="too late"))
    assert await storage.list_users() == []


async def test_whoever_was_deleted_before_a_prompt_was_kept_is_told_so(
    storage: Storage, alice: User
) -> None:
    await delete_user(storage, alice)

    with pytest.raises(Unauthenticated, match="Nothing was stored"):
        await start(storage, alice)


async def test_runs_of_a_disabled_user_are_told_to_stop(
    storage: Storage, alice: User, bob: User
) -> None:
    alices, bobs = await start(storage, alice), await start(storage, bob)

    await storage.change_user(alice.id, is_disabled=True, actor=NOBODY)

    assert await storage.unfinished_runs(alice) == [alices.id]
    assert (await storage.get_run(alice, alices.id)).cancel_requested
    assert not (await storage.get_run(bob, bobs.id)).cancel_requested


async def test_nothing_of_a_deleted_user_is_left_in_the_files(
    sqlite_url: str, tmp_path: Path
) -> None:
    canary = "kanarienvogelgesang"

    def has_canary() -> bool:
        files = tmp_path.glob("llamakeep.db*")
        return any(canary.encode() in path.read_bytes() for path in files)

    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        bob = await storage.add_user("bob", None)
        for n in range(50):
            text = f"Sing, {canary}, {n}! " * 200
            run = new_run(alice, text)
            await storage.accept(run, node=None)
            await storage.finish(ended(run, response=text))
            await storage.add(bob, "prompt", "response")
        while await storage.index_finished():
            pass
        before = await asyncio.to_thread(has_canary)

        await delete_user(storage, alice)

        after = await asyncio.to_thread(has_canary)
    assert (before, after) == (True, False)
