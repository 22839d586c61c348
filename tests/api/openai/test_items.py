"""Chat completions whose answers are more than text: calls, reasoning, refusals."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llamakeep.domain import Item, Reasoning, Refusal, Text, ToolCall, Usage
from llamakeep.providers.base import Finished, ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, STREAM, events
from tests.api.serving import Client, connect
from tests.fakes import Line, ScriptedProvider

Script = Sequence[Line]

OSLO = ToolCall("call_1", "get_weather")
NOW = ToolCall("call_2", "now")
CALLS: Script = [
    "I look.",
    ItemBegun(OSLO),
    ItemText('{"city":'),
    ItemText('"Oslo"}'),
    ItemBegun(NOW),
]
THINKS: Script = [
    ItemBegun(Reasoning()),
    ItemText("They "),
    ItemText("greet."),
    ItemBegun(Text()),
    "Hello",
]
REFUSES: Script = [ItemBegun(Refusal()), "I cannot ", "help."]
FUNCTION = {"name": "get_weather"}
TOOLS = {"tools": [{"type": "function", "function": FUNCTION}]}


def shown(item_id: str, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": item_id, "type": "function", "function": function}


OSLO_SHOWN = shown("call_1", "get_weather", '{"city":"Oslo"}')
NOW_SHOWN = shown("call_2", "now", "")


def message(**fields: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
    }
    return said | fields


async def deltas(client: Client, **fields: Any) -> list[Any]:
    """Return the deltas of a stream, and its finish reason."""
    response = await client.post(CHAT, json=STREAM | fields)
    *chunks, done = events(response, may_be_silent=True)
    assert done == "[DONE]"
    choices = [one["choices"][0] for one in chunks]
    assert {one["finish_reason"] for one in choices[:-1]} == {None}
    return [one["delta"] for one in choices] + [choices[-1]["finish_reason"]]


@pytest.mark.parametrize(
    ("script", "expected", "reason"),
    [
        (
            CALLS,
            message(content="I look.", tool_calls=[OSLO_SHOWN, NOW_SHOWN]),
            "tool_calls",
        ),
        (CALLS[1:4], message(tool_calls=[OSLO_SHOWN]), "tool_calls"),
        (
            [*THINKS[:4], *CALLS[1:4]],
            message(reasoning_content="They greet.", tool_calls=[OSLO_SHOWN]),
            "tool_calls",
        ),
        (THINKS, message(content="Hello", reasoning_content="They greet."), "stop"),
        (THINKS[:3], message(reasoning_content="They greet."), "stop"),
        (REFUSES, message(refusal="I cannot help."), "stop"),
        (
            [*CALLS[:4], ItemBegun(Text()), " Wait."],
            message(content="I look. Wait.", tool_calls=[OSLO_SHOWN]),
            "tool_calls",
        ),
    ],
)
async def test_an_answer_of_items_has_openais_form_and_is_kept(
    settings: Settings, script: Script, expected: dict[str, Any], reason: str
) -> None:
    async with connect(settings, ScriptedProvider(script)) as client:
        completion = (await client.post(CHAT, json=HI)).json()
        again = (await client.get(f"{CHAT}/{completion['id']}")).json()
        [kept] = await client.history()

    [choice] = completion["choices"]
    assert choice["message"] == expected
    assert choice["finish_reason"] == reason
    assert again == completion | {"metadata": {}}
    assert kept["output"]


async def test_calls_are_streamed_as_openai_does(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(CALLS)) as client:
        found = await deltas(client)

    assert found == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "I look."},
        {"tool_calls": [{"index": 0, **shown("call_1", "get_weather", "")}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]},
        {"tool_calls": [{"index": 1, **NOW_SHOWN}]},
        {},
        "tool_calls",
    ]


async def test_reasoning_and_refusals_are_streamed_in_fields_of_their_own(
    settings: Settings,
) -> None:
    script = [*THINKS, *REFUSES, ItemBegun(Text()), "."]

    async with connect(settings, ScriptedProvider(script)) as client:
        found = await deltas(client)

    assert found[1:] == [
        {"reasoning_content": "They "},
        {"reasoning_content": "greet."},
        {"content": "Hello"},
        {"refusal": "I cannot "},
        {"refusal": "help."},
        {"content": "."},
        {},
        "stop",
    ]


async def test_who_asks_again_gets_the_same_calls(settings: Settings) -> None:
    key = {"Idempotency-Key": "k"}
    async with connect(settings, ScriptedProvider(CALLS)) as client:
        first = await client.post(CHAT, json=HI, headers=key)
        *chunks, _ = events(await client.post(CHAT, json=STREAM, headers=key))

    assert [one["choices"][0]["delta"] for one in chunks[1:]] == [
        {"content": "I look."},
        {"tool_calls": [{"index": 0, **shown("call_1", "get_weather", "")}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Oslo"}'}}]},
        {"tool_calls": [{"index": 1, **NOW_SHOWN}]},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert first.json()["id"] == chunks[0]["id"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stop", "tool_calls"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("eos", "tool_calls"),
        (None, "tool_calls"),
        ("length", "length"),
        ("content_filter", "content_filter"),
    ],
)
async def test_calls_end_an_answer_whatever_the_provider_calls_it(
    settings: Settings, said: str | None, told: str
) -> None:
    provider = ScriptedProvider(CALLS, finished=Finished(said, Usage()))

    async with connect(settings, provider) as client:
        completion = (await client.post(CHAT, json=HI)).json()
        *_, reason = await deltas(client)

    assert completion["choices"][0]["finish_reason"] == reason == told


async def test_an_answer_without_calls_ends_by_itself(settings: Settings) -> None:
    provider = ScriptedProvider(finished=Finished("tool_calls", Usage()))

    async with connect(settings, provider) as client:
        completion = (await client.post(CHAT, json=HI)).json()

    assert completion["choices"][0]["finish_reason"] == "stop"


async def test_arguments_that_are_cut_off_stay_as_they_are(settings: Settings) -> None:
    provider = ScriptedProvider(CALLS[:3], finished=Finished("length", Usage()))

    async with connect(settings, provider) as client:
        [choice] = (await client.post(CHAT, json=HI)).json()["choices"]

    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"] == [
        shown("call_1", "get_weather", '{"city":')
    ]


async def test_functions_are_answered_with_a_function_call(settings: Settings) -> None:
    functions = {"functions": [FUNCTION]}
    async with connect(settings, ScriptedProvider(CALLS)) as client:
        [choice] = (await client.post(CHAT, json=HI | functions)).json()["choices"]
        found = await deltas(client, **functions)

    called = OSLO_SHOWN["function"]
    assert choice["message"] == message(content="I look.", function_call=called)
    assert choice["finish_reason"] == "function_call"
    assert found[2:] == [
        {"function_call": {"name": "get_weather", "arguments": ""}},
        {"function_call": {"arguments": '{"city":'}},
        {"function_call": {"arguments": '"Oslo"}'}},
        {},
        "function_call",
    ]


async def test_a_canceled_call_is_a_completion_that_is_not_whole(
    settings: Settings,
) -> None:
    provider = ScriptedProvider([*CALLS[:3], asyncio.Event()])
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "I look.")
        await client.post(f"/history/{run_id}/cancel")

        found = await client.get(f"{CHAT}/{run_id.replace('run_', 'chatcmpl-')}")

    [choice] = found.json()["choices"]
    assert choice["finish_reason"] is None
    assert choice["message"]["tool_calls"] == [
        shown("call_1", "get_weather", '{"city":')
    ]


async def test_a_completion_goes_on_with_the_calls_it_was_answered_with(
    settings: Settings,
) -> None:
    provider = ScriptedProvider([*THINKS, *CALLS[1:]])
    async with connect(settings, provider) as client:
        completion = (await client.post(CHAT, json=HI | TOOLS)).json()
        answer = completion["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": one["id"], "content": "-3"}
            for one in answer["tool_calls"]
        ]
        provider.script = ["It is cold."]

        done = await client.post(
            CHAT, json={"messages": [*HI["messages"], answer, *results]} | TOOLS
        )
        kept, called = await client.history()

    assert done.json()["choices"][0]["message"]["content"] == "It is cold."
    items: Sequence[Item] = provider.requests[1].messages[1].parts  # type: ignore[assignment]
    assert items == (
        Reasoning("They greet."),
        Text("Hello"),
        ToolCall("call_1", "get_weather", '{"city":"Oslo"}'),
        NOW,
    )
    assert [one["type"] for one in called["output"]] == [
        "reasoning",
        "text",
        "tool_call",
        "tool_call",
    ]
    assert kept["last_message"]["parts"] == [
        {"type": "tool_result", "call_id": "call_2", "text": "-3"}
    ]


@pytest.mark.parametrize("script", [CALLS, THINKS, REFUSES, CALLS[1:]])
async def test_the_older_completions_show_what_is_said(
    settings: Settings, script: Script
) -> None:
    body = {"prompt": "Hi"}
    said = "".join(line for line in script if isinstance(line, str))

    async with connect(settings, ScriptedProvider(script)) as client:
        whole = (await client.post("/v1/completions", json=body)).json()
        streamed = await client.post("/v1/completions", json=body | {"stream": True})

    *chunks, done = events(streamed, may_be_silent=True)
    assert whole["choices"][0]["text"] == said
    assert "".join(one["choices"][0]["text"] for one in chunks) == said
    reasons = {whole["choices"][0]["finish_reason"]}
    assert reasons | {chunks[-1]["choices"][0]["finish_reason"]} == {"stop"}
    assert done == "[DONE]"
