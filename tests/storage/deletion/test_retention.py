"""Deleting what is older than it may be."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from llamakeep.deletion.retention import sweep
from llamakeep.domain import Actor, AuditKind, Run, RunStatus, User, new_id, utc_now
from llamakeep.errors import InvalidRequest, UserNotFound
from llamakeep.storage import Storage
from llamakeep.storage.database.tables import run_tags
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import read_search
from llamakeep.storage.runs.lookups import IdempotencyKey
from llamakeep.storage.runs.steps import conversation_of
from tests.storage.running import new_run

ALL = "12345"


async def keep(storage: Storage, user: User, days: int, **facts: Any) -> Run:
    """Keep a finished run that is a bit older than so many days."""
    at = utc_now() - timedelta(days=days, minutes=1)
    run_id = new_id("run_", at=at)
    facts = {
        "id": run_id,
        "conversation_id": conversation_of(run_id),
        "status": RunStatus.SUCCEEDED,
        "created_at": at,
        "finished_at": at,
    } | facts
    facts = {"prompt": str(days)} | facts
    run = new_run(user, **facts)
    return await storage.accept(run, node=None)


async def ages(storage: Storage, user: User) -> str:
    """Return the ages of a user's runs."""
    return "".join(run.prompt for run in await storage.history(user))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ((None, None, None), ALL),
        ((3, None, None), "12"),
        ((3, 5, None), "1234"),
        ((3, 1, None), ""),
        ((3, None, 2), "1"),
        ((None, 4, None), "123"),
        ((None, None, 4), "123"),
        ((None, 4, 2), "1"),
        # Chosen when more was allowed.
        ((3, None, 4), "12"),
        ((None, 2, 4), "1"),
        ((36_500, None, None), ALL),
    ],
)
async def test_runs_are_kept_for_the_shortest_time_that_anybody_said(
    storage: Storage,
    alice: User,
    bob: User,
    said: tuple[int | None, int | None, int | None],
    kept: str,
) -> None:
    longest, allowed, own = said
    for days in (1, 2, 3, 4, 5):
        await keep(storage, alice, days)
        await keep(storage, bob, days)
    await storage.set_own_retention(alice, own, longest=None, actor=Actor())
    await storage.set_retention(alice.id, allowed, actor=Actor())
    await storage.set_retention(bob.id, 100, actor=Actor())

    deleted = await sweep(storage, longest)

    assert await ages(storage, alice) == kept
    assert await ages(storage, bob) == ALL
    assert deleted == len(ALL) - len(kept)


async def test_all_that_is_too_old_is_deleted_at_once(
    storage: Storage, alice: User
) -> None:
    for _ in range(21):
        await keep(storage, alice, 2)
    await keep(storage, alice, 1)

    assert await sweep(storage, 2) == 21
    assert await sweep(storage, 2) == 0
    assert await ages(storage, alice) == "1"


async def test_what_goes_on_is_left_alone_however_old(
    storage: Storage, alice: User
) -> None:
    await keep(storage, alice, 3, status=RunStatus.PROCESSING, finished_at=None)
    await keep(storage, alice, 2)

    assert await sweep(storage, 1) == 1
    assert await ages(storage, alice) == "3"
    assert await storage.users_with_old_runs(1) == []


async def test_nothing_of_an_old_run_is_left(storage: Storage, alice: User) -> None:
    run = await keep(storage, alice, 2, prompt="A llama", metadata={"a": "b"})
    await storage.set_title(alice, str(run.conversation_id), "About llamas")
    await keep(storage, alice, 0)

    await sweep(storage, 1)

    matching = RunFilter(search=read_search("llama"))
    assert await storage.history(alice, matching=matching) == []
    tags = select(func.count()).select_from(run_tags)
    assert await storage._database.read(lambda c: c.scalar(tags)) == 0
    [left] = (await storage.conversations(alice)).conversations
    assert left.opening == "0"


async def test_the_idempotency_key_of_an_old_run_is_forgotten_with_it(
    storage: Storage, alice: User
) -> None:
    key = IdempotencyKey("key", b"digest")
    old = utc_now() - timedelta(days=2)

    async def add() -> Run:
        return await storage.add(
            alice, "Why?", "So.", created_at=old, idempotency_key=key
        )

    first = await add()
    assert await add() == first

    await sweep(storage, 1)

    assert (await add()).id != first.id


async def test_the_audit_log_says_how_many_runs_were_too_old(
    storage: Storage, alice: User, bob: User
) -> None:
    for user in (alice, alice, bob):
        await keep(storage, user, 2)

    for _ in range(2):
        await sweep(storage, 1)

    [event] = await storage.audit()
    assert (event.kind, event.detail) == (AuditKind.RETENTION_APPLIED, "3 runs")
    assert event.user_id is None
    assert event.actor_id is None


async def test_users_choose_only_less_than_they_may(
    storage: Storage, alice: User
) -> None:
    async def choose(days: int | None, longest: int | None) -> bool:
        try:
            await storage.set_own_retention(
                alice, days, longest=longest, actor=Actor(user=alice)
            )
        except InvalidRequest:
            return False
        return True

    by_settings = [await choose(days, 3) for days in (2, 3, 4, None)]
    await storage.set_retention(alice.id, 5, actor=Actor())
    by_admin = [await choose(days, 3) for days in (5, 6)]

    assert by_settings == [True, True, False, True]
    assert by_admin == [True, False]
    assert (await storage.retentions([alice.id]))[alice.id].own == 5


async def test_nobody_has_no_retention(storage: Storage) -> None:
    nobody = new_id("user_")

    with pytest.raises(UserNotFound):
        await storage.set_retention(nobody, 1, actor=Actor())

    assert await storage.retentions([nobody]) == {}
    assert await storage.audit() == []
