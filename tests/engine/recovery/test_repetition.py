"""Answers with items that break off, and are fetched again from their start."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.domain import Item, Text, ToolCall, User
from llamakeep.domain.output import heads_of, items_of, tape_of
from llamakeep.engine.recovery.repetition import Repetition
from llamakeep.errors import ProviderAnswerInvalid, ProviderUnavailable
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, open_engine
from tests.engine.lasting import LastingProvider
from tests.waiting import until

A, B = ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "f", "{}")
ANSWERS: Sequence[Sequence[Item]] = (
    [Text("Hello")],
    [A],
    [A, B, Text("Done"), A],
    [Text("Hi"), A, Text("Done")],
)
Growth = str | ItemBegun | ItemText


def growths_of(items: Sequence[Item], *, size: int) -> list[Growth]:
    found: list[Growth] = []
    for place, item in enumerate(items):
        if place or not isinstance(item, Text):
            found.append(ItemBegun(heads_of([Text(), item])[0]))
        for at in range(0, len(item.text), size):
            text = item.text[at : at + size]
            found.append(text if isinstance(item, Text) else ItemText(text))
    return found


@given(
    st.sampled_from(ANSWERS), st.integers(0, 40), st.integers(1, 9), st.integers(1, 9)
)
def test_an_answer_is_taken_in_once_wherever_it_broke_off(
    items: Sequence[Item], end: int, first: int, second: int
) -> None:
    tape, heads = "", list[Item]()
    for growth in growths_of(items, size=first)[:end]:
        if isinstance(growth, ItemBegun):
            tape, heads = tape + "\0", [*heads, growth.item]
        else:
            tape += growth if isinstance(growth, str) else growth.text
    repetition = Repetition(tape, heads)
    for growth in growths_of(items, size=second):
        news = growth if repetition.is_over else repetition.news(growth)
        if isinstance(news, ItemBegun):
            tape, heads = tape + "\0", [*heads, news.item]
        elif news is not None:
            tape += news if isinstance(news, str) else news.text

    assert tape == tape_of(items, "")
    assert items_of(tape, heads) == (() if len(items) == 1 and not heads else (*items,))


@pytest.mark.parametrize(
    "other",
    [
        ["Hello"],
        [ItemBegun(B), ItemText(A.text)],
        [ItemBegun(ToolCall("a", "f")), ItemText("{}")],
        [ItemBegun(ToolCall("a", "f")), ItemBegun(Text())],
        [ItemBegun(Text()), "Hello"],
    ],
)
def test_another_answer_is_not_taken_for_the_one_that_began(
    other: Sequence[Growth],
) -> None:
    repetition = Repetition("\0" + A.text, [ToolCall("a", "f")])

    with pytest.raises(ProviderAnswerInvalid, match="is kept"):
        [*map(repetition.news, other)]


async def test_a_call_that_broke_off_is_fetched_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    broken, may_break = ProviderUnavailable("It hung up."), asyncio.Event()
    broken.answer_may_exist = True
    head, text = ItemBegun(ToolCall("a", "f")), ItemText(A.text)
    provider = LastingProvider()
    provider.script = ["Hm", head, ItemText(A.text[:3]), may_break, broken]
    async with open_engine(settings, storage, provider) as engine:
        asking = asyncio.create_task(engine.answer(alice, WHY))
        await until(lambda: provider.open_answers)
        provider.script = ["H", "m", head, text, ItemBegun(Text()), "Done"]
        may_break.set()
        run = await asking

    assert run.output == (Text("Hm"), A, Text("Done"))
    assert len(provider.predictions) == 1
    assert run.attempt == 1
