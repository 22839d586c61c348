"""Keeping runs that were kept before, each once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import (
    Actor,
    Message,
    Run,
    RunStatus,
    Usage,
    User,
    new_id,
    utc_now,
)
from llamakeep.errors import Unauthenticated
from llamakeep.storage import Storage
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import EVERYTHING, RunFilter
from llamakeep.storage.history.search import read_search
from tests.storage.running import ended, new_run, start


def done(user: User, prompt: str = "Why?", **facts: Any) -> Run:
    """Return a run that is over, and in no database."""
    return ended(new_run(user, prompt), **facts)


async def history(storage: Storage, user: User) -> list[Run]:
    return list(await storage.history(user, oldest_first=True))


async def test_everything_that_was_said_about_a_run_is_kept(
    storage: Storage, alice: User
) -> None:
    run = done(
        alice,
        status=RunStatus.FAILED,
        response="So.",
        system_prompt="Be brief.",
        prior_messages=(Message("user", "Hi"), Message("assistant", "Hello")),
        previous_run_id=new_id("run_"),
        metadata={"a": "b"},
        usage=Usage(1, 2, None),
        error_code="run-failed",
        error_detail="It did.",
    )

    imported = await storage.import_runs(alice, [run])

    assert imported == 1
    assert await history(storage, alice) == [run]


async def test_importing_again_changes_nothing(storage: Storage, alice: User) -> None:
    runs = [done(alice, str(n), metadata={"n": str(n)}) for n in range(5)]
    await storage.import_runs(alice, runs[:3])
    await storage.set_metadata(alice, runs[0].id, {})
    before = await history(storage, alice)

    imported = await storage.import_runs(alice, [*runs, *runs])

    assert imported == 2
    assert await history(storage, alice) == [*before, *runs[3:]]


async def test_what_is_still_there_is_not_overwritten(
    storage: Storage, alice: User
) -> None:
    going_on = await start(storage, alice)

    imported = await storage.import_runs(
        alice, [ended(going_on, RunStatus.FAILED, response="Something else")]
    )

    assert imported == 0
    assert await history(storage, alice) == [going_on]


async def test_imported_runs_are_found_and_summed_up_as_others_are(
    storage: Storage, alice: User
) -> None:
    run = done(alice, "A llama", metadata={"project": "one"})

    await storage.import_runs(alice, [run])

    for matching in (
        RunFilter(search=read_search("llama")),
        RunFilter(tags=("project:one",)),
        RunFilter(conversation_id=run.conversation_id),
    ):
        assert await storage.history(alice, matching=matching) == [run]
    [conversation] = (await storage.conversations(alice)).conversations
    assert conversation.id == run.conversation_id


async def test_somebody_elses_ids_become_others_always_the_same(
    storage: Storage, alice: User, bob: User
) -> None:
    first = done(alice, "1")
    second = done(alice, "2")
    second = replace(
        second, conversation_id=first.conversation_id, previous_run_id=first.id
    )
    await storage.import_runs(alice, [first, second])
    hers = await history(storage, alice)

    # Their predecessor may come in another piece of the file.
    counts = [
        await storage.import_runs(bob, some) for some in ([first], [second], [second])
    ]
    # Both may be of the same millisecond, in which copies are in no order.
    his = sorted(await history(storage, bob), key=lambda run: run.prompt)
    await storage.delete_run(alice, first.id)
    again = await storage.import_runs(bob, [first, second])

    assert counts == [1, 1, 0]
    assert again == 0
    assert len(await history(storage, bob)) == 2
    assert [await storage.get_run(bob, run.id) for run in his] == his
    assert await history(storage, alice) == hers[1:]
    assert [run.prompt for run in his] == ["1", "2"]
    assert {run.id for run in his}.isdisjoint({run.id for run in hers})
    assert his[0].conversation_id == his[1].conversation_id != first.conversation_id
    assert his[1].previous_run_id == his[0].id
    assert [run.id[:-16] for run in his] == [run.id[:-16] for run in hers]


async def test_a_conversation_that_went_on_here_goes_on(
    storage: Storage, alice: User
) -> None:
    gone = done(alice, "1")
    kept = await start(storage, alice, "2", conversation_id=gone.conversation_id)

    await storage.import_runs(alice, [gone])

    matching = RunFilter(conversation_id=gone.conversation_id)
    assert await storage.history(alice, matching=matching) == [kept, gone]


async def test_imports_at_the_same_moment_do_not_share_ids(
    storage: Storage, alice: User, bob: User
) -> None:
    runs = [done(alice, str(n)) for n in range(20)]

    counts = await asyncio.gather(
        *(storage.import_runs(user, runs) for user in (alice, bob) * 3)
    )

    assert sum(counts) == 40
    hers, his = await history(storage, alice), await history(storage, bob)
    assert {run.prompt for run in hers} == {run.prompt for run in his}
    conversations = [{run.conversation_id for run in some} for some in (hers, his)]
    assert conversations[0].isdisjoint(conversations[1])
    assert sorted({run.id for run in runs} & {run.id for run in [*hers, *his]}) == [
        run.id for run in runs
    ]


async def test_nothing_is_imported_for_whoever_was_deleted(storage: Storage) -> None:
    gone = User(new_id("user_"), "gone", utc_now())

    with pytest.raises(Unauthenticated):
        await storage.import_runs(gone, [done(gone)])


async def test_an_import_that_goes_on_while_its_user_is_deleted_is_refused(
    storage: Storage, alice: User
) -> None:
    await storage.import_runs(alice, [done(alice)])
    await storage.delete_user(alice.id, actor=Actor())

    with pytest.raises(Unauthenticated):
        await storage.import_runs(alice, [done(alice)])

    assert await storage.count_runs(alice, EVERYTHING, before=HIGHEST) == 1


async def test_a_deletion_sees_what_was_imported_at_the_same_moment(
    storage: Storage, alice: User
) -> None:
    async def import_some() -> int:
        try:
            return await storage.import_runs(alice, [done(alice) for _ in range(20)])
        except Unauthenticated:
            return 0

    async def delete() -> int:
        await storage.delete_user(alice.id, actor=Actor())
        return await storage.count_runs(alice, EVERYTHING, before=HIGHEST)

    *imported, seen = await asyncio.gather(*(import_some() for _ in range(5)), delete())

    assert sum(imported) == seen
