"""Numbers of a response's events: a client can resume after each, at any time."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamakeep.api.openai.responses.events import events
from llamakeep.domain import (
    Item,
    Reasoning,
    Refusal,
    Run,
    RunStatus,
    Text,
    ToolCall,
    new_id,
    utc_now,
)
from llamakeep.engine import Engine, Position, Update
from llamakeep.engine.following import lacking
from llamakeep.engine.live import LiveRun
from llamakeep.engine.updates import Ended
from llamakeep.providers.base import ItemBegun, ItemText
from tests.api.serving import Client

Script = Sequence[str | ItemBegun | ItemText]
Event = dict[str, Any]

TEXTS = st.lists(st.sampled_from(["a", "é🦙", "\n\ndata: "]), max_size=3)
KINDS: list[Item] = [Text(), Reasoning(), Refusal(), ToolCall("a", "f")]
ITEMS = st.sampled_from(KINDS)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    script: list[str | ItemBegun | ItemText] = [*draw(TEXTS)]
    for item in draw(st.lists(ITEMS, max_size=4)):
        is_said = isinstance(item, Text | Refusal)
        script.append(ItemBegun(item))
        script += [one if is_said else ItemText(one) for one in draw(TEXTS)]
    return script


class Following:
    """Follows a run as the engine does: one in memory, or one in storage."""

    def __init__(self, live: LiveRun, *, is_live: bool) -> None:
        self._live = live
        self._is_live = is_live

    def follow(
        self, run: Run, position: Position | None = None
    ) -> AsyncGenerator[Update, None]:
        if self._is_live:
            return self._live.follow(position or Position(), self._stored)
        return self._stored(run, position or Position())

    async def _stored(
        self, run: Run, position: Position
    ) -> AsyncGenerator[Update, None]:
        run = self._live.run
        for update in lacking(run, position):
            yield update
        yield Ended(run)


def new_run(**facts: Any) -> Run:
    rest = new_id("")
    known: dict[str, Any] = {
        "id": f"run_{rest}",
        "user_id": "user_1",
        "status": RunStatus.PROCESSING,
        "attempt": 1,
        "provider": "scripted",
        "model": "parrot",
        "prompt": "Hi",
        "conversation_id": f"conv_{rest}",
        "created_at": utc_now(),
    }
    return Run(**known | facts)


def parsed(sent: bytes) -> list[Event]:
    frames = [one for one in sent.decode().split("\n\n") if "data: " in one]
    return [json.loads(one.partition("data: ")[2]) for one in frames]


async def read(
    following: Following, run: Run, after: int = -1, length: int | None = None
) -> list[Event]:
    engine = cast("Engine", following)
    frames = events(engine, run, prefix="", after=after, length=length)
    return parsed(b"".join([frame async for frame in frames]))


def texts_in(found: list[Event]) -> dict[int, str]:
    """Return the text of each item in some deltas."""
    texts: dict[int, str] = {}
    for one in found:
        if one["type"].endswith(".delta"):
            index = one["output_index"]
            texts[index] = texts.get(index, "") + one["delta"]
    return texts


def check_rest(whole: list[Event], rest: list[Event], after: int) -> None:
    """Check that `rest` is what lacks of `whole` after the event with a number."""
    numbers = [one["sequence_number"] for one in rest]
    assert numbers == sorted(set(numbers))
    assert all(number > after for number in numbers)
    assert [one for one in rest if not one["type"].endswith(".delta")] == [
        one
        for one in whole
        if not one["type"].endswith(".delta") and one["sequence_number"] > after
    ]
    first = {
        one["output_index"]: one["sequence_number"] + 1
        for one in whole
        if one["type"] == "response.output_item.added"
    }
    got = texts_in(rest)
    for index, text in texts_in(whole).items():
        have = min(max(0, after - first[index]), len(text))
        assert got.get(index, "") == text[have:]


@pytest.mark.slow
@settings(max_examples=40)
@given(scripts())
def test_an_ended_response_can_be_resumed_after_every_number(script: Script) -> None:
    async def check() -> None:
        live = LiveRun(new_run())
        for event in script:
            live.receive(event)
        run = live.succeeded()
        live.hand_over(run)
        whole = await read(Following(live, is_live=True), run)
        last = whole[-1]["sequence_number"]
        assert [one["sequence_number"] for one in whole] == sorted(
            {one["sequence_number"] for one in whole}
        )
        said = [item.text for item in run.output or (Text(run.response),)]
        assert [texts_in(whole).get(index, "") for index in range(len(said))] == said
        assert last == 2 + sum(5 + len(text) for text in said)
        for after in range(-1, last + 2):
            length = min(after, len(run.response)) if after >= 0 else None
            for is_live in (True, False):
                rest = await read(Following(live, is_live=is_live), run, after, length)
                check_rest(whole, rest, after)

    asyncio.run(check())


@pytest.mark.slow
@settings(max_examples=40)
@given(scripts(), st.data())
def test_an_unfinished_response_can_be_resumed_after_every_number(
    script: Script, data: st.DataObject
) -> None:
    so_far = data.draw(st.integers(0, len(script)))

    async def check() -> None:
        run = new_run()
        live, twin = LiveRun(run), LiveRun(run)
        for event in script:
            twin.receive(event)
        ended = twin.succeeded()
        twin.hand_over(ended)
        whole = await read(Following(twin, is_live=True), ended)
        for event in script[:so_far]:
            live.receive(event)
        following = Following(live, is_live=True)
        readers = {
            after: asyncio.ensure_future(read(following, run, after))
            for after in range(-1, whole[-1]["sequence_number"] + 1)
        }
        await asyncio.sleep(0)
        for event in script[so_far:]:
            live.receive(event)
            await asyncio.sleep(0)
        live.hand_over(ended)
        for after, reader in readers.items():
            check_rest(whole, await reader, after)

    asyncio.run(check())


OUTPUT: tuple[Item, ...] = (Text("abc"), ToolCall("call_1", "f", "{}"), Text("de"))
TAPE_LENGTH = 3 + 1 + 2 + 1 + 2


async def resumed(client: Client, after: int, **facts: Any) -> list[Event]:
    """Resume a run that has ended in its second attempt."""
    alice = await client.alice()
    run = new_run(
        **{
            "user_id": alice.id,
            "status": RunStatus.SUCCEEDED,
            "attempt": 2,
            "finished_at": utc_now(),
            "response": "abcde",
            "output": OUTPUT,
            **facts,
        }
    )
    await client.storage.accept(run, node=None)
    url = f"/v1/responses/{run.id.replace('run_', 'resp_')}"
    found = await client.events("GET", f"{url}?stream=true&starting_after={after}")
    return [one.data for one in found]


@pytest.mark.parametrize(
    ("common_length", "after"),
    [
        (2, 6),  # the client has "abc" or "abX"
        (3, 7),  # it has the end of "abc", or "abcX"
        (3, 10),
        (4, 13),
        (TAPE_LENGTH, 99),
    ],
)
async def test_who_may_have_events_of_another_attempt_has_to_fetch_all(
    client: Client, common_length: int, after: int
) -> None:
    [event] = await resumed(client, after, common_length=common_length)

    assert (event["type"], event["code"]) == ("error", "run_interrupted")


@pytest.mark.parametrize(
    ("common_length", "after"), [(2, 5), (3, 6), (4, 7), (4, 10), (4, 11), (5, 12)]
)
async def test_who_has_only_events_that_all_attempts_share_can_resume(
    client: Client, common_length: int, after: int
) -> None:
    whole = await resumed(client, 0, common_length=common_length)
    rest = await resumed(client, after, common_length=common_length)

    assert rest[-1]["type"] == "response.completed"
    assert texts_in(whole) == {0: "abc", 1: "{}", 2: "de"}
    assert [one["type"] for one in rest if "delta" not in one["type"]] == [
        one["type"]
        for one in whole
        if "delta" not in one["type"] and one["sequence_number"] > after
    ]
