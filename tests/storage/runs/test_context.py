from collections.abc import Sequence
from typing import Any

import pytest

from llamakeep.domain import Message, Run, RunStatus, User, new_id
from llamakeep.errors import (
    ContextTooLarge,
    ConversationNotFound,
    RunNotAnswered,
    RunNotFound,
)
from llamakeep.storage import Storage
from llamakeep.storage.runs.context import OVERHEAD
from tests.storage.running import ended, start

MUCH = 2**20


async def answered(storage: Storage, user: User, prompt: str, **facts: Any) -> Run:
    """Keep a run that was answered."""
    run = ended(await start(storage, user, prompt, **facts), response=f"{prompt}!")
    assert await storage.finish(run)
    return run


async def followed(
    storage: Storage, user: User, *, most: int = MUCH, **place: Any
) -> Sequence[Run]:
    """Return the runs that a prompt at that place follows."""
    conversation_id = place.pop("conversation_id", None)
    return (await storage.context(user.id, conversation_id, most=most, **place)).runs


async def test_a_conversation_is_what_was_answered_in_order(
    storage: Storage, alice: User
) -> None:
    first = await answered(storage, alice, "1")
    topic = str(first.conversation_id)
    failed = ended(await start(storage, alice, conversation_id=topic), RunStatus.FAILED)
    await storage.finish(failed)
    second = await answered(storage, alice, "2", conversation_id=topic)
    going_on = await start(storage, alice, conversation_id=topic)

    context = await storage.context(alice.id, topic, most=MUCH)
    before = {
        run.id: await followed(storage, alice, conversation_id=topic, before=run.id)
        for run in (second, going_on)
    }

    assert context.runs == [first, second]
    assert context.newest_run_id == going_on.id
    assert before == {second.id: [first], going_on.id: [first, second]}


async def test_a_conversation_that_only_failed_is_still_one(
    storage: Storage, alice: User
) -> None:
    run = ended(await start(storage, alice), RunStatus.FAILED)
    await storage.finish(run)

    assert not await followed(storage, alice, conversation_id=run.conversation_id)


@pytest.mark.parametrize("conversation_id", ["conv_unheard", None])
async def test_what_is_not_the_users_conversation_does_not_exist(
    storage: Storage, alice: User, bob: User, conversation_id: str | None
) -> None:
    hers = await start(storage, alice)

    with pytest.raises(ConversationNotFound):
        await followed(
            storage, bob, conversation_id=conversation_id or hers.conversation_id
        )


async def test_only_ones_own_answered_run_can_be_followed(
    storage: Storage, alice: User, bob: User
) -> None:
    hers = await answered(storage, alice, "1")
    going_on = await start(storage, alice)

    with pytest.raises(RunNotFound):
        await followed(storage, bob, previous_run_id=hers.id)
    with pytest.raises(RunNotAnswered):
        await followed(storage, alice, previous_run_id=going_on.id)


async def test_an_interrupted_run_is_followed_only_where_it_is_named(
    storage: Storage, alice: User
) -> None:
    root = await answered(storage, alice, "root")
    here: dict[str, Any] = {"conversation_id": root.conversation_id}
    cut = ended(await start(storage, alice, **here), RunStatus.INTERRUPTED)
    assert await storage.finish(cut)
    leaf = await answered(storage, alice, "leaf", previous_run_id=cut.id, **here)

    assert await followed(storage, alice, previous_run_id=cut.id) == [root, cut]
    assert await followed(storage, alice, previous_run_id=leaf.id) == [root, cut, leaf]
    assert await followed(storage, alice, **here) == [root, leaf]


async def test_a_branch_has_what_it_follows_and_nothing_else(
    storage: Storage, alice: User
) -> None:
    root = await answered(storage, alice, "root")
    here = {"conversation_id": root.conversation_id}
    trunk = await answered(storage, alice, "trunk", **here)
    left = await answered(storage, alice, "left", **here, previous_run_id=trunk.id)
    right = await answered(storage, alice, "right", **here, previous_run_id=trunk.id)

    assert await followed(storage, alice, previous_run_id=left.id) == [
        root,
        trunk,
        left,
    ]
    assert await followed(storage, alice, previous_run_id=right.id) == [
        root,
        trunk,
        right,
    ]


async def test_what_follows_nothing_is_told_of_nothing_but_is_followed(
    storage: Storage, alice: User
) -> None:
    root = await answered(storage, alice, "root")
    here = {"conversation_id": root.conversation_id}
    anew = await answered(storage, alice, "anew", **here, previous_run_id="none")
    leaf = await answered(storage, alice, "leaf", **here, previous_run_id=anew.id)

    context = await storage.context(
        alice.id, root.conversation_id, previous_run_id="none", most=MUCH
    )

    assert (list(context.runs), context.newest_run_id) == ([], leaf.id)
    assert await followed(storage, alice, previous_run_id=leaf.id) == [anew, leaf]
    again: dict[str, Any] = {**here, "previous_run_id": "none", "before": anew.id}
    assert await followed(storage, alice, **again) == []
    with pytest.raises(ConversationNotFound):
        await followed(storage, alice, conversation_id="conv_1", previous_run_id="none")


async def test_a_chain_follows_its_links_whatever_the_ids_say(
    storage: Storage, alice: User
) -> None:
    ids = sorted((new_id("run_") for _ in range(4)), reverse=True)
    chain: list[Run] = []
    for run_id in ids:
        known = chain[-1] if chain else None
        chain.append(
            await answered(
                storage,
                alice,
                run_id[-3:],
                id=run_id,
                conversation_id="conv_1",
                previous_run_id=known and known.id,
            )
        )

    assert await followed(storage, alice, previous_run_id=ids[-1]) == chain
    again: dict[str, Any] = {
        "conversation_id": "conv_1",
        "previous_run_id": ids[2],
        "before": ids[3],
    }
    assert await followed(storage, alice, **again) == chain[:3]


async def test_a_chain_that_leads_back_to_itself_has_an_end(
    storage: Storage, alice: User
) -> None:
    one, other = new_id("run_"), new_id("run_")
    here = {"conversation_id": "conv_1"}
    first = await answered(storage, alice, "1", **here, id=one, previous_run_id=other)
    second = await answered(storage, alice, "2", **here, id=other, previous_run_id=one)

    assert await followed(storage, alice, previous_run_id=other) == [first, second]


@pytest.mark.parametrize("is_chain", [False, True])
async def test_no_more_is_read_than_a_model_is_given(
    storage: Storage, alice: User, *, is_chain: bool
) -> None:
    runs: list[Run] = []
    for number in range(10):
        runs.append(
            await answered(
                storage,
                alice,
                str(number),
                conversation_id="conv_1",
                previous_run_id=runs[-1].id if is_chain and runs else None,
            )
        )
    place: dict[str, Any] = {"conversation_id": "conv_1"}
    if is_chain:
        place = {"previous_run_id": runs[-1].id}
    size = 10 * (len("0") + len("0!") + OVERHEAD)

    assert await followed(storage, alice, **place, most=size) == runs
    with pytest.raises(ContextTooLarge, match="Begin another conversation"):
        await followed(storage, alice, **place, most=size - 1)


async def test_bytes_are_counted_and_what_clients_brought_along_too(
    storage: Storage, alice: User
) -> None:
    said = (Message("user", "x" * 1000),)
    run = await answered(storage, alice, "ä" * 1000, prior_messages=said)
    place = {"conversation_id": run.conversation_id}

    assert await followed(storage, alice, **place, most=5100 + OVERHEAD) == [run]
    with pytest.raises(ContextTooLarge):
        await followed(storage, alice, **place, most=4999 + OVERHEAD)
