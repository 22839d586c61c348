"""Answers that are more than text: shown, streamed, resumed, exported and imported."""

import asyncio
import json
from typing import cast

import pytest

from llamakeep.domain import Item, Reasoning, Refusal, Text, ToolCall
from llamakeep.domain.messages import part_of
from llamakeep.domain.output import tape_of
from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, ServerSentEvent, connect
from tests.fakes import Line, ScriptedProvider

ARGUMENTS = '{"place": "Zürich 🌧"}'
SCRIPT: tuple[Line, ...] = (
    ItemBegun(Reasoning()),
    ItemText("Hm"),
    ItemText(" 🤔"),
    ItemBegun(Text()),
    "I look",
    " it up. ",
    ItemBegun(ToolCall("call_1", "weather")),
    ItemText(ARGUMENTS[:5]),
    ItemText(ARGUMENTS[5:]),
    ItemBegun(ToolCall("call_2", "time")),
    ItemBegun(Refusal()),
    "No more.",
)
TAPE = f"\0Hm 🤔\0I look it up. \0{ARGUMENTS}\0\0No more."
OUTPUT = [
    {"type": "reasoning", "text": "Hm 🤔"},
    {"type": "text", "text": "I look it up. "},
    {"type": "tool_call", "call_id": "call_1", "name": "weather", "text": ARGUMENTS},
    {"type": "tool_call", "call_id": "call_2", "name": "time", "text": ""},
    {"type": "refusal", "text": "No more."},
]


def taped(events: list[ServerSentEvent], have: str = "") -> str:
    """Return the tape that a client has who had `have` before `events`."""
    for one in events:
        if one.event == "item":
            have += "\0"
        elif one.event in {"delta", "item_delta"}:
            have += one.data["text"]
        elif one.event == "reset":
            have = one.data["text"]
    return have


async def test_the_response_is_the_text_and_the_output_is_all(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        answer = (await client.post("/prompt/", json={"prompt": "Hi"})).json()
        [kept] = await client.history()

    assert answer["response"] == kept["response"] == "I look it up. No more."
    assert answer["output"] == kept["output"] == OUTPUT


async def test_text_alone_has_no_output(client: Client) -> None:
    answer = (await client.post("/prompt/", json={"prompt": "Hi"})).json()

    assert answer["output"] is None


async def test_a_stream_says_where_an_item_begins(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        events = await client.events(
            "POST", "/prompt/", json={"prompt": "Hi", "stream": True}
        )

    begun = [one.data for one in events if one.event == "item"]
    assert begun == [
        {name: value for name, value in item.items() if name != "text"}
        for item in OUTPUT
    ]
    assert taped(events) == TAPE
    said = [one.data["text"] for one in events if one.event == "delta"]
    assert "".join(said) == events[-1].data["response"]


async def test_an_answer_of_items_can_be_resumed_at_every_position(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        run_id = await client.begin()
        await client.ended(run_id)
        for offset in range(len(TAPE) + 1):
            events = await client.events(
                "GET", f"/history/{run_id}/stream?starting_after={offset}"
            )

            assert taped(events, TAPE[:offset]) == TAPE
            assert "reset" not in [one.event for one in events]


@pytest.mark.parametrize("until", range(1, len(SCRIPT)))
async def test_an_unfinished_answer_of_items_can_be_resumed_at_every_position(
    settings: Settings, until: int
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([*SCRIPT[:until], go_on, *SCRIPT[until:]])
    so_far = TAPE[: sum(map(_length, SCRIPT[:until]))]
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await written(client, run_id, so_far)
        following = [
            asyncio.create_task(
                client.events(
                    "GET", f"/history/{run_id}/stream?starting_after={offset}"
                )
            )
            for offset in range(len(so_far) + 1)
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        found = await asyncio.gather(*following)

    for offset, events in enumerate(found):
        assert taped(events, TAPE[:offset]) == TAPE
        assert "reset" not in [one.event for one in events]


async def written(client: Client, run_id: str, tape: str) -> None:
    """Wait until so much of a run is in the history."""
    for _ in range(500):
        run = (await client.get(f"/history/{run_id}")).json()
        items = [part_of(item) for item in run["output"] or ()]
        if tape_of(cast("list[Item]", items), run["response"]) == tape:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{run} is not {tape!r}")


def _length(line: Line) -> int:
    if isinstance(line, ItemBegun):
        return 1
    assert isinstance(line, str | ItemText)
    return len(line if isinstance(line, str) else line.text)


async def test_an_answer_that_breaks_off_keeps_the_items_that_came(
    settings: Settings,
) -> None:
    script = (*SCRIPT[:8], ProviderUnavailable("It broke off."))
    async with connect(settings, ScriptedProvider(script)) as client:
        response = await client.post("/prompt/", json={"prompt": "Hi"})
        [kept] = await client.history()

    assert response.status_code == 503
    assert kept["status"] == "failed"
    assert kept["output"] == [*OUTPUT[:2], OUTPUT[2] | {"text": ARGUMENTS[:5]}]


async def test_items_are_exported_and_imported_as_they_are(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        await client.post("/prompt/", json={"prompt": "Hi"})
        exported = (await client.get("/history/export")).content

        await client.post("/history/import", content=exported, headers=BOB | JSONL)
        again = (await client.get("/history/export", headers=BOB)).content

    assert json.loads(exported)["output"] == OUTPUT
    ids = {"id", "conversation_id", "previous_run_id"}
    assert {
        name: value for name, value in json.loads(again).items() if name not in ids
    } == {
        name: value for name, value in json.loads(exported).items() if name not in ids
    }


async def test_people_read_what_a_model_thought_and_called(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        await client.post("/prompt/", json={"prompt": "Hi"})
        exported = await client.get("/history/export?format=markdown")

    assert exported.text.endswith(
        "> Hi\n\n[reasoning] Hm 🤔\n\nI look it up. \n\n"
        f"[tool call] weather({ARGUMENTS})\n\n[tool call] time()\n\nNo more.\n\n"
    )


JSONL = {"Content-Type": "application/x-ndjson"}

FAULTS = {
    "its response is not the text of its items": {"response": "Other."},
    "an item has no type": {"output": [{"text": "x"}]},
    "a call has no name": {
        "output": [{"type": "tool_call", "call_id": "1", "text": ""}]
    },
    "a text has an id": {"output": [{"type": "text", "call_id": "1", "text": ""}]},
    "a model says the result of a tool": {
        "output": [{"type": "tool_result", "call_id": "1", "text": ""}]
    },
    "its prompt is not the text of its last message": {
        "last_message": {"role": "tool", "content": "Other."}
    },
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_items_that_contradict_themselves_are_not_imported(
    settings: Settings, fault: str
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        await client.post("/prompt/", json={"prompt": "Hi"})
        exported = json.loads((await client.get("/history/export")).content)

        response = await client.post(
            "/history/import",
            content=json.dumps(exported | FAULTS[fault]),
            headers=BOB | JSONL,
        )

        assert await client.history(**BOB) == []
    assert "output" in response.text or "last_message" in response.text
