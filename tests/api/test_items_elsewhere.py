"""Answers that are more than text, on surfaces that show their text alone."""

import pytest

from llamakeep.domain import Reasoning, Refusal, Text, ToolCall
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.openai import CHAT
from tests.api.responding import ask, said, text_of
from tests.api.serving import Client, ServerSentEvent, connect
from tests.fakes import Line, ScriptedProvider

CALL: list[Line] = [
    ItemBegun(ToolCall("call_1", "weather")),
    ItemText('{"city":'),
    ItemText('"O"}'),
]
MIXED: tuple[Line, ...] = (
    ItemBegun(Reasoning()),
    ItemText("Hm."),
    ItemBegun(Text()),
    "I ",
    "look.",
    *CALL,
    ItemBegun(Refusal()),
    " No.",
)
SCRIPTS = pytest.mark.parametrize(
    ("script", "text"), [(MIXED, "I look. No."), (CALL, ""), (MIXED[:2], "")]
)


async def followed(client: Client, url: str) -> list[ServerSentEvent]:
    return await client.events("GET", url)


def numbers(events: list[ServerSentEvent]) -> list[int]:
    return [one.data["sequence_number"] for one in events]


@SCRIPTS
async def test_a_response_shows_the_text_and_ends(
    settings: Settings, script: list[Line], text: str
) -> None:
    async with connect(settings, ScriptedProvider(script)) as client:
        whole = await ask(client)
        live = await client.events(
            "POST", "/v1/responses", json={"input": "Hi", "stream": True}
        )
        response_id = live[0].data["response"]["id"]
        url = f"/v1/responses/{response_id}?stream=true"
        stored = await followed(client, url)
        rests = [
            await followed(client, f"{url}&starting_after={number}")
            for number in numbers(live)
        ]
        retrieved = (await client.get(f"/v1/responses/{response_id}")).json()

    assert text_of(whole) == text_of(retrieved) == text
    assert numbers(live) == sorted(set(numbers(live)))
    assert live[-1].event == stored[-1].event == "response.completed"
    for events in (live, stored):
        deltas = [one for one in events if one.event == "response.output_text.delta"]
        assert "".join(one.data["delta"] for one in deltas) == text
    last = numbers(live)[-1]
    assert {numbers(one)[-1] for one in [stored, *rests[:-1]]} == {last}
    for number, rest in zip(numbers(live), rests, strict=True):
        assert all(one > number for one in numbers(rest))
    assert rests[-1] == []


async def test_a_response_follows_a_call(settings: Settings) -> None:
    provider = ScriptedProvider(CALL)
    async with connect(settings, provider) as client:
        called = await ask(client, "One")
        provider.script = ["Two"]
        after = await ask(client, "Two?", previous_response_id=called["id"])
        items = await client.get(f"/v1/responses/{after['id']}/input_items")
        reference = {"type": "item_reference", "id": called["output"][0]["id"]}
        referred = await ask(client, [reference, {"role": "user", "content": "Hm"}])

    assert text_of(after) == "Two"
    assert provider.requests[1].messages[1].parts == (
        ToolCall("call_1", "weather", '{"city":"O"}'),
    )
    assert len(items.json()["data"]) == 3
    assert referred["status"] == "completed"
    assert said(provider)[0] == ("assistant", "")


async def test_a_completion_with_results_is_a_response(client: Client) -> None:
    called = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = [
        {"role": "user", "content": "Is it cold?"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "a", "content": "-3"},
    ]
    completion = (await client.post(CHAT, json={"messages": messages})).json()
    response_id = completion["id"].replace("chatcmpl-", "resp_")

    shown = (await client.get(f"/v1/responses/{response_id}")).json()
    items = (await client.get(f"/v1/responses/{response_id}/input_items")).json()

    assert text_of(shown) == "Hello, world"
    assert [one["content"][0]["text"] for one in items["data"]] == [
        "-3",
        "",
        "Is it cold?",
    ]


@SCRIPTS
async def test_a_prediction_shows_the_text_and_ends(
    settings: Settings, script: list[Line], text: str
) -> None:
    door = "/replicate/v1/models/scripted/parrot/predictions"
    body = {"input": {"prompt": "Hi"}, "stream": True}
    async with connect(settings, ScriptedProvider(script)) as client:
        made = await client.post(door, json=body, headers={"Prefer": "wait"})
        run_id = "run_" + made.json()["id"]
        url = made.json()["urls"]["stream"].removeprefix("http://test")
        await client.ended(run_id)
        events = await followed_text(client, url)
        again = await client.get(f"/replicate/v1/predictions/{made.json()['id']}")

    assert "".join(data for kind, data in events if kind == "output") == text
    assert events[-1] == ("done", "{}")
    assert "".join(again.json()["output"] or ()) == text


async def followed_text(client: Client, url: str) -> list[tuple[str, str]]:
    async with client.sse(url) as source:
        return [(one.event, one.data) async for one in source]
