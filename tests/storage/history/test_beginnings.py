"""Beginnings of runs, which the database cuts."""

import json
import random
from typing import Any

import pytest

from llamakeep.domain import (
    Image,
    Item,
    Message,
    Reasoning,
    Run,
    Text,
    ToolCall,
    User,
)
from llamakeep.domain.messages import Refusal, message_of, said_in
from llamakeep.storage import Storage
from llamakeep.storage.history.beginnings import (
    FACTS,
    MOST_ITEMS,
    Sizes,
    _items,
    beginning_of,
    shortened,
)
from llamakeep.storage.runs.parts import read_output, stored
from tests.storage.running import ended, start

LLAMAS = "🦙é" * 300


async def answered(storage: Storage, user: User, *output: Item, **facts: Any) -> Run:
    run = await start(storage, user, **facts)
    said = facts.get("response", said_in(output))
    run = ended(run, response=said, output=output)
    assert await storage.finish(run)
    return run


async def test_texts_are_cut_at_a_character_and_their_sizes_are_known(
    storage: Storage, alice: User
) -> None:
    await answered(storage, alice, prompt=LLAMAS, response=LLAMAS + "!")
    await answered(storage, alice, prompt="Why?", system_prompt=LLAMAS)

    short, long = await storage.beginnings(alice, length=3)

    assert (long.run.prompt, long.run.response) == ("🦙é🦙", "🦙é🦙")
    assert long.sizes == Sizes(6 * 300, 6 * 300 + 1, None)
    assert long.is_cut
    assert (short.run.system_prompt, short.sizes) == ("🦙é🦙", Sizes(4, 0, 1800))
    [whole, _] = await storage.beginnings(alice, length=600)
    assert (whole.run.prompt, whole.is_cut) == ("Why?", False)


async def test_the_beginning_of_a_stored_run_is_that_of_one_in_memory(
    storage: Storage, alice: User
) -> None:
    sha256 = "0" * 64
    run = await answered(
        storage,
        alice,
        Reasoning("hm" * 100),
        Text("So"),
        ToolCall("call_1", "look", '{"at": "🦙"}'),
        Reasoning("", sealed="x" * 50),
        prompt="What is it?",
        last_message=message_of(
            "user",
            [
                Text("What is it?"),
                Image(sha256=sha256, media_type="image/png", size=1),
                Image(url="https://example.org/" + "a" * 500),
            ],
        ),
        prior_messages=[Message("user", "Look!")],
    )

    [found] = await storage.beginnings(alice, length=20)

    assert shortened(found, 20) == beginning_of(run, 20)
    by_id = await storage.beginnings_of(alice, [run.id, "run_1"], length=20)
    assert by_id == {run.id: found}


@pytest.mark.parametrize("seed", range(40))
def test_any_cut_of_items_leaves_those_before_it_and_the_beginning_of_one(
    seed: int,
) -> None:
    chance = random.Random(seed)
    text = chance.choice(["x", "🦙", '"\\', "é\n"]) * chance.randrange(3000)
    items: list[Item] = [
        Reasoning("think " * chance.randrange(200)),
        Text("said", logprobs=json.dumps([text])),
        ToolCall("call_1", "write", text),
        Refusal("no"),
        Reasoning("", sealed=text),
        *[ToolCall(f"call_{n}", "write", text) for n in range(chance.randrange(9))],
    ]
    chance.shuffle(items)
    written = json.dumps(stored(items))

    found = read_output(_items(written), said_in(items))

    assert len(written) <= FACTS or found != items
    for shown, item in zip(found, items, strict=False):
        assert item.text.startswith(shown.text)
        assert type(shown) is type(item)
    assert [*found[:-1]] == items[: max(len(found) - 1, 0)]
    assert found or len(text) > 1000


async def test_items_and_parts_are_bounded(storage: Storage, alice: User) -> None:
    calls = [ToolCall(f"call_{n}", "write", "x" * 999) for n in range(100)]
    parts = [Image(url=f"https://example.org/{n}" + "a" * 999) for n in range(100)]
    await answered(
        storage,
        alice,
        *calls,
        prompt="Hi",
        last_message=message_of("tool", [Text("Hi"), *parts]),
    )

    [found] = await storage.beginnings(alice, length=50)
    short = shortened(found, 50)

    assert found.is_cut
    assert len(short.run.output) == MOST_ITEMS
    assert {len(item.text) for item in short.run.output} == {50}
    assert short.run.last_message == Message("tool", "Hi")


async def test_of_a_history_only_beginnings_are_read(
    storage: Storage, alice: User, bob: User
) -> None:
    for n in range(3):
        await answered(storage, alice, prompt=f"{n}", response="x" * 100_000)
    await answered(storage, bob, prompt="his", response="x")

    page = await storage.beginnings(alice, length=10, limit=2)
    rest = await storage.beginnings(alice, length=10, before=page[-1].run.id)
    back = await storage.beginnings(
        alice, length=10, after=rest[0].run.id, oldest_first=True
    )

    assert [each.run.prompt for each in (*page, *rest, *back)] == [*"21012"]
    assert {len(each.run.response) for each in page} == {10}
