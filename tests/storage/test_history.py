import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.errors import ConversationNotFound
from llamakeep.storage import Storage
from tests.storage.running import ended, start


async def test_pages_cover_the_history_once_newest_first(
    storage: Storage, alice: User, bob: User
) -> None:
    runs = [await start(storage, user) for user in (alice, bob) * 7]
    hers = [run for run in runs if run.user_id == alice.id][::-1]

    pages = [await storage.history(alice, limit=3)]
    while pages[-1]:
        pages.append(await storage.history(alice, before=pages[-1][-1].id, limit=3))

    assert [run for page in pages for run in page] == hers
    assert [len(page) for page in pages] == [3, 3, 1, 0]


async def test_a_run_that_comes_while_paging_is_not_seen_twice(
    storage: Storage, alice: User
) -> None:
    old, young = await start(storage, alice), await start(storage, alice)
    [seen] = await storage.history(alice, limit=1)
    await start(storage, alice)

    rest = await storage.history(alice, before=seen.id)

    assert (seen, rest) == (young, [old])


async def test_the_history_is_searched_in_prompts_and_responses(
    storage: Storage, alice: User, bob: User
) -> None:
    asked = await storage.add(alice, "What is a LLAMA?", "An animal.")
    answered = await storage.add(alice, "Which animal spits?", "The llama.")
    await storage.add(alice, "Which one hums?", "The alpaca.")
    await storage.add(bob, "What is a llama?", "An animal.")

    assert await storage.history(alice, containing="Llama") == [answered, asked]


@pytest.mark.parametrize("wanted", ["100%", "a_b", "c\\d", "50/50", "%", "_"])
async def test_a_search_means_what_it_says(
    storage: Storage, alice: User, wanted: str
) -> None:
    found = await storage.add(alice, f"It is {wanted}.", "Yes.")
    await storage.add(alice, "It is 1000 axb cd 50.50", "Yes.")

    assert await storage.history(alice, containing=wanted) == [found]


async def test_a_search_is_paged_too(storage: Storage, alice: User) -> None:
    first = await storage.add(alice, "llama one", "")
    await storage.add(alice, "alpaca", "")
    second = await storage.add(alice, "llama two", "")

    assert await storage.history(alice, containing="llama", limit=1) == [second]
    assert await storage.history(alice, containing="llama", before=second.id) == [first]


async def test_the_history_can_be_of_one_conversation(
    storage: Storage, alice: User, bob: User
) -> None:
    run = await start(storage, alice)
    await start(storage, alice)
    await start(storage, bob, conversation_id=run.conversation_id)

    found = await storage.history(alice, conversation_id=run.conversation_id)

    assert found == [run]


async def test_a_conversation_is_what_was_answered_in_order(
    storage: Storage, alice: User
) -> None:
    first = ended(await start(storage, alice), response="1")
    topic = str(first.conversation_id)
    failed = ended(await start(storage, alice, conversation_id=topic), RunStatus.FAILED)
    second = ended(await start(storage, alice, conversation_id=topic), response="2")
    for run in (first, failed, second):
        await storage.finish(run)
    going_on = await start(storage, alice, conversation_id=topic)

    assert await storage.conversation(alice.id, topic) == [first, second]
    assert await storage.conversation(alice.id, topic, before=second.id) == [first]
    assert await storage.conversation(alice.id, topic, before=going_on.id) == [
        first,
        second,
    ]


async def test_a_conversation_that_only_failed_is_still_one(
    storage: Storage, alice: User
) -> None:
    run = ended(await start(storage, alice), RunStatus.FAILED)
    await storage.finish(run)

    assert await storage.conversation(alice.id, str(run.conversation_id)) == []


async def test_somebody_elses_conversation_does_not_exist(
    storage: Storage, alice: User, bob: User
) -> None:
    run = await start(storage, alice)

    with pytest.raises(ConversationNotFound):
        await storage.conversation(bob.id, str(run.conversation_id))


async def test_a_conversation_nobody_had_does_not_exist(
    storage: Storage, alice: User
) -> None:
    with pytest.raises(ConversationNotFound):
        await storage.conversation(alice.id, "conv_unheard")
