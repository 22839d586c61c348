"""Conversations, found among a user's runs."""

from itertools import cycle

import pytest
from sqlalchemy import func, select

from llamakeep.domain import Run, User, new_id
from llamakeep.errors import ConversationNotFound
from llamakeep.storage import Storage
from llamakeep.storage.database.tables import conversation_titles
from llamakeep.storage.deletion.traces import SHARED
from llamakeep.storage.history import conversations, found_conversations
from llamakeep.storage.history.conversations import Walked
from llamakeep.storage.history.search import read_search
from tests.storage.running import ended, start


async def talk(storage: Storage, user: User, letters: str) -> list[Run]:
    """Ask once for each letter, in the conversation of that letter."""
    ids = {letter: f"conv_{letter}-{user.username}" for letter in letters}
    return [
        await start(storage, user, f"{letter}{n}", conversation_id=ids[letter])
        for n, letter in enumerate(letters)
    ]


def letters_of(walked: Walked) -> str:
    return "".join(each.id[5] for each in walked.conversations)


async def kept_titles(storage: Storage) -> int | None:
    query = select(func.count()).select_from(conversation_titles)
    return await storage._database.read(lambda connection: connection.scalar(query))


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ("", ""),
        ("a", "a"),
        ("aaaa", "a"),
        ("abc", "cba"),
        ("abca", "acb"),
        ("abababababab", "ba"),
        ("abbbbbbbbbbbbbbbbbbb", "ba"),
    ],
)
async def test_conversations_are_listed_once_the_newest_activity_first(
    storage: Storage, alice: User, bob: User, asked: str, listed: str
) -> None:
    await talk(storage, bob, "xyz")
    await talk(storage, alice, asked)
    await talk(storage, bob, "xyz")

    walked = await storage.conversations(alice, limit=10)

    assert letters_of(walked) == listed
    assert walked.stopped_at is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_in_both_directions_show_every_conversation_once(
    storage: Storage, alice: User, limit: int
) -> None:
    await talk(storage, alice, "abcdefgabcdabaaaa")
    down, up = [""], [""]

    before = after = None
    while len(down) == 1 or down[-1]:
        walked = await storage.conversations(alice, before=before, limit=limit)
        down.append(letters_of(walked))
        before = walked.conversations[-1].newest_run_id if down[-1] else None
    while len(up) == 1 or up[-1]:
        walked = await storage.conversations(
            alice, after=after, oldest_first=True, limit=limit
        )
        up.append(letters_of(walked))
        after = walked.conversations[-1].newest_run_id if up[-1] else None

    assert "".join(down) == "abdcgfe"
    assert "".join(up) == "efgcdba"


async def test_a_conversation_says_when_it_began_and_when_it_went_on(
    storage: Storage, alice: User
) -> None:
    first, _, last = await talk(storage, alice, "aaa")

    found, count = await storage.get_conversation(alice, "conv_a-alice")

    assert (found.opening, count) == ("a0", 3)
    assert (found.created_at, found.updated_at) == (first.created_at, last.created_at)
    [listed] = (await storage.conversations(alice)).conversations
    assert listed == found


async def test_an_endless_conversation_is_not_read_to_its_end(
    storage: Storage, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "LONGEST_WALK", 5)
    asked = await talk(storage, alice, "baaaaaaa")

    first = await storage.conversations(alice, limit=2)
    second = await storage.conversations(alice, limit=2, before=first.stopped_at)

    assert (letters_of(first), first.stopped_at) == ("a", asked[3].id)
    assert (letters_of(second), second.stopped_at) == ("b", None)


async def test_a_chosen_title_stays_until_it_is_given_back(
    storage: Storage, alice: User
) -> None:
    await talk(storage, alice, "ab")
    titles = []

    for title in ("Llamas", "Alpacas", None, None):
        await storage.set_title(alice, "conv_a-alice", title)
        found, _ = await storage.get_conversation(alice, "conv_a-alice")
        titles.append(found.chosen_title)

    assert titles == ["Llamas", "Alpacas", None, None]
    assert await kept_titles(storage) == 0


async def test_a_conversation_whose_newest_run_was_just_deleted_is_left_out(
    storage: Storage, alice: User
) -> None:
    gone, kept = await talk(storage, alice, "ab")
    await storage.delete_run(alice, gone.id)

    shown = await storage._database.read(
        lambda connection: conversations.conversations_at(
            connection, [gone.id, kept.id]
        )
    )

    assert [each.newest_run_id for each in shown] == [kept.id]


async def test_somebody_elses_conversation_is_no_conversation(
    storage: Storage, alice: User, bob: User
) -> None:
    await talk(storage, alice, "a")

    for conversation_id in ("conv_a-alice", new_id("conv_")):
        with pytest.raises(ConversationNotFound):
            await storage.get_conversation(bob, conversation_id)
        with pytest.raises(ConversationNotFound):
            await storage.set_title(bob, conversation_id, "His")

    assert letters_of(await storage.conversations(bob)) == ""
    assert await kept_titles(storage) == 0


async def test_a_title_is_forgotten_with_the_last_run_of_its_conversation(
    storage: Storage, alice: User
) -> None:
    asked = await talk(storage, alice, "aab")
    for letter in "ab":
        await storage.set_title(alice, f"conv_{letter}-alice", letter)

    left = []
    for run in asked[:2]:
        await storage.delete_run(alice, run.id)
        left.append(await kept_titles(storage))
    await storage.finish(ended(asked[2]))
    await storage.forget(alice, [run.id for run in asked], SHARED)

    assert left == [2, 1]
    assert await kept_titles(storage) == 0


async def test_all_conversations_are_found_however_long_the_newest_ones_are(
    storage: Storage, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_conversations, "STEP", 3)
    for user in (alice, bob):
        for letter, said in zip("abcdddddddd", cycle(("Wool", ""))):
            here = f"conv_{letter}-{user.username}"
            run = await start(storage, user, letter, conversation_id=here)
            await storage.finish(ended(run, response=said))
    await storage.set_title(alice, "conv_b-alice", "Of wool")
    await storage.set_title(bob, "conv_c-bob", "Of something else")
    wool = read_search("wool")

    found = [
        "".join(
            each.id[5]
            for each in await storage.find_conversations(user, wool, limit=limit)
        )
        for user, limit in ((alice, 9), (alice, 2), (bob, 9))
    ]

    assert found == ["dcba", "dc", "dca"]


async def test_the_conversations_of_runs_are_known_by_their_ids(
    storage: Storage, alice: User
) -> None:
    await talk(storage, alice, "aba")
    await storage.set_title(alice, "conv_b-alice", "Bees")
    listed = await storage.history(alice)

    known = await storage.conversations_of(listed)

    assert {key: (it.chosen_title, it.opening) for key, it in known.items()} == {
        "conv_a-alice": (None, "a0"),
        "conv_b-alice": ("Bees", "b1"),
    }
    assert await storage.conversations_of([]) == {}
