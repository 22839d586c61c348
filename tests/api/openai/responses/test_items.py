"""OpenAI's Responses API: answers that are more than text."""

from collections.abc import Sequence
from typing import Any

import pytest

from llamakeep.domain import Reasoning, Refusal, Text, ToolCall
from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.base import Finished, ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT
from tests.api.openai.responding import ask, refusal
from tests.api.serving import Client, ServerSentEvent, connect
from tests.fakes import Line, ScriptedProvider

MIXED: tuple[Line, ...] = (
    ItemBegun(Reasoning()),
    ItemText("H"),
    ItemText("m."),
    ItemBegun(Text()),
    "I look.",
    ItemBegun(ToolCall("call_1", "weather")),
    ItemText('{"city":'),
    ItemText('"O"}'),
    ItemBegun(ToolCall("call_2", "now")),
    ItemBegun(Refusal()),
    "No.",
)
ASKED = {"role": "user", "content": "Hi"}


def shown(run: str, last: str = "completed") -> list[dict[str, Any]]:
    """Return the items of `MIXED` as a response has them."""
    done = {"status": "completed"}
    message = {"type": "message", "role": "assistant"}
    text = {
        "type": "output_text",
        "text": "I look.",
        "annotations": [],
        "logprobs": [],
    }
    return [
        done
        | {
            "id": f"rs_{run}",
            "type": "reasoning",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm."}],
        },
        done | message | {"id": f"msg_{run}_o1", "content": [text]},
        done
        | {
            "id": f"fc_{run}_o2",
            "type": "function_call",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"O"}',
        },
        done
        | {
            "id": f"fc_{run}_o3",
            "type": "function_call",
            "call_id": "call_2",
            "name": "now",
            "arguments": "",
        },
        message
        | {
            "id": f"msg_{run}_o4",
            "status": last,
            "content": [{"type": "refusal", "refusal": "No."}],
        },
    ]


def rest_of(response: dict[str, Any]) -> str:
    return str(response["id"].removeprefix("resp_"))


async def streamed(client: Client, **fields: Any) -> list[ServerSentEvent]:
    body = {"input": "Hi", "stream": True, **fields}
    return await client.events("POST", "/v1/responses", json=body)


def numbered(events: list[ServerSentEvent]) -> list[tuple[int, str]]:
    return [
        (one.data["sequence_number"], one.event.removeprefix("response."))
        for one in events
    ]


async def test_an_answer_has_an_item_for_each_thing_that_is_said(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(MIXED)) as client:
        response = await ask(client)
        again = (await client.get(f"/v1/responses/{response['id']}")).json()

    assert response["output"] == again["output"] == shown(rest_of(response))
    assert response["status"] == "completed"


async def test_the_last_item_of_an_answer_that_was_cut_is_incomplete(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(MIXED, finished=Finished("length"))
    async with connect(settings, provider) as client:
        response = await ask(client)

    assert response["output"] == shown(rest_of(response), "incomplete")


async def test_each_item_is_streamed_between_its_opening_and_closing_events(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(MIXED)) as client:
        events = await streamed(client)
        response_id = events[0].data["response"]["id"]
        url = f"/v1/responses/{response_id}?stream=true"
        again = await client.events("GET", url)

    assert numbered(events) == [
        (0, "created"),
        (1, "in_progress"),
        (2, "output_item.added"),
        (3, "content_part.added"),
        (4, "reasoning_text.delta"),
        (6, "reasoning_text.delta"),
        (7, "reasoning_text.done"),
        (8, "content_part.done"),
        (9, "output_item.done"),
        (10, "output_item.added"),
        (11, "content_part.added"),
        (18, "output_text.delta"),
        (19, "output_text.done"),
        (20, "content_part.done"),
        (21, "output_item.done"),
        (22, "output_item.added"),
        (31, "function_call_arguments.delta"),
        (35, "function_call_arguments.delta"),
        (36, "function_call_arguments.done"),
        (38, "output_item.done"),
        (39, "output_item.added"),
        (41, "function_call_arguments.done"),
        (43, "output_item.done"),
        (44, "output_item.added"),
        (45, "content_part.added"),
        (48, "refusal.delta"),
        (49, "refusal.done"),
        (50, "content_part.done"),
        (51, "output_item.done"),
        (52, "completed"),
    ]
    for each in (events, again):
        assert [
            one.data["item"] for one in each if one.event.endswith("output_item.done")
        ] == shown(rest_of(events[-1].data["response"]))
    assert [one for one in again if "delta" not in one.event] == [
        one for one in events if "delta" not in one.event
    ]


async def test_a_stream_of_items_can_be_resumed_after_every_number(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(MIXED)) as client:
        whole = await streamed(client)
        url = f"/v1/responses/{whole[0].data['response']['id']}?stream=true"
        for after in range(numbered(whole)[-1][0] + 1):
            rest = await client.events("GET", f"{url}&starting_after={after}")

            assert signs(rest) == [one for one in signs(whole) if one[0] > after]


def signs(events: list[ServerSentEvent]) -> list[tuple[int, Any]]:
    """Return numbers and data of some events, each character of a delta by itself."""
    found: list[tuple[int, Any]] = []
    for one in events:
        data = dict(one.data)
        number, delta = data.pop("sequence_number"), data.pop("delta", None)
        if delta is None:
            found.append((number, data))
        else:
            first = number - len(delta) + 1
            found += [(first + at, (data, sign)) for at, sign in enumerate(delta)]
    return found


async def test_the_events_of_items_have_openais_fields(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(MIXED)) as client:
        events = await streamed(client)

    rest = rest_of(events[-1].data["response"])
    place = {"item_id": f"rs_{rest}", "output_index": 0, "content_index": 0}
    part = {"type": "reasoning_text"}
    [item] = [item for item in shown(rest) if item["id"].startswith("rs_")]
    begun = item | {"status": "in_progress", "content": []}
    assert [without_number(one) for one in events[2:9]] == [
        {"output_index": 0, "item": begun},
        place | {"part": part | {"text": ""}},
        place | {"delta": "H"},
        place | {"delta": "m."},
        place | {"text": "Hm."},
        place | {"part": part | {"text": "Hm."}},
        {"output_index": 0, "item": item},
    ]
    call = shown(rest)[2]
    place = {"item_id": call["id"], "output_index": 2}
    begun = call | {"status": "in_progress", "arguments": ""}
    assert [without_number(one) for one in events[15:20]] == [
        {"output_index": 2, "item": begun},
        place | {"delta": '{"city":'},
        place | {"delta": '"O"}'},
        place | {"arguments": '{"city":"O"}'},
        {"output_index": 2, "item": call},
    ]
    no = shown(rest)[4]
    place = {"item_id": no["id"], "output_index": 4, "content_index": 0}
    assert [without_number(one) for one in events[-6:-1]] == [
        place | {"part": {"type": "refusal", "refusal": ""}},
        place | {"delta": "No."},
        place | {"refusal": "No."},
        place | {"part": {"type": "refusal", "refusal": "No."}},
        {"output_index": 4, "item": no},
    ]


def without_number(event: ServerSentEvent) -> dict[str, Any]:
    assert event.data["type"] == event.event
    return {
        name: value
        for name, value in event.data.items()
        if name not in {"type", "sequence_number"}
    }


async def test_an_item_that_broke_off_is_not_closed(settings: Settings) -> None:
    script = [*MIXED[:7], ProviderUnavailable("It broke off.")]
    async with connect(settings, ScriptedProvider(script)) as client:
        events = await streamed(client, background=True)

    assert numbered(events)[-3:] == [
        (22, "output_item.added"),
        (31, "function_call_arguments.delta"),
        (35, "failed"),
    ]
    *_, call = events[-1].data["response"]["output"]
    assert (call["status"], call["arguments"]) == ("incomplete", '{"city":')


CALLED: Sequence[Line] = MIXED[:9]
OUTPUTS = [
    {"type": "function_call_output", "call_id": "call_1", "output": "-3"},
    {"type": "function_call_output", "call_id": "call_2", "output": "noon"},
]


async def test_items_of_a_tool_loop_are_listed_and_can_be_named(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(CALLED)
    async with connect(settings, provider) as client:
        called = await ask(client)
        provider.script = ["Cold."]
        answered = await ask(client, OUTPUTS, previous_response_id=called["id"])
        url = f"/v1/responses/{answered['id']}/input_items?order=asc"
        listed = (await client.get(url)).json()["data"]
        named = [{"type": "item_reference", "id": one["id"]} for one in listed]
        await ask(client, named)

    first, second = rest_of(called), rest_of(answered)
    assert [one["id"] for one in listed] == [
        f"msg_{first}_0",
        f"rs_{first}",
        f"msg_{first}_o1",
        f"fc_{first}_o2",
        f"fc_{first}_o3",
        f"fco_{second}_0",
        f"fco_{second}_1",
    ]
    assert listed[1:5] == shown(first)[:4]
    assert listed[5] == {
        "id": f"fco_{second}_0",
        "type": "function_call_output",
        "status": "completed",
        "call_id": "call_1",
        "output": "-3",
    }
    assert provider.requests[2].messages == provider.requests[1].messages


async def test_an_item_is_not_named_by_another_ones_id(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(MIXED)) as client:
        rest = rest_of(await ask(client))
        for item_id in (
            f"msg_{rest}",
            f"rs_{rest}_o1",
            f"fc_{rest}_o9",
            f"msg_{rest}_1",
            f"msg_{rest}_00",
            f"msg_{rest}_o01",
            f"fco_{rest}_0",
        ):
            error = await refusal(client, {"input": [{"id": item_id}, ASKED]})
            assert error["param"] == "input[0].id"


async def test_a_chat_completion_with_results_is_a_response(client: Client) -> None:
    called = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = [
        {"role": "user", "content": "Is it cold?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "a", "content": "-3"},
    ]
    completion = (await client.post(CHAT, json={"messages": messages})).json()
    rest = completion["id"].removeprefix("chatcmpl-")

    items = (await client.get(f"/v1/responses/resp_{rest}/input_items")).json()

    assert [one["id"] for one in items["data"]] == [
        f"fco_{rest}_3",
        f"fc_{rest}_2",
        f"msg_{rest}_1",
        f"msg_{rest}_0",
    ]


@pytest.mark.parametrize("script", [MIXED[:1], MIXED[:2], MIXED[8:9]])
async def test_an_answer_without_text_has_no_message(
    settings: Settings, script: Sequence[Line]
) -> None:
    async with connect(settings, ScriptedProvider(script)) as client:
        response = await ask(client)

    [item] = response["output"]
    assert item["type"] in {"reasoning", "function_call"}
