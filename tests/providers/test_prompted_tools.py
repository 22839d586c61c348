"""How models are told of tools in the prompt, and held to calling them."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from llamakeep.domain import (
    Message,
    Parameters,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import message_of
from llamakeep.errors import LlamaKeepError, PromptRejected, ProviderUnavailable
from llamakeep.providers.base import (
    Accepted,
    CompletionRequest,
    Event,
    Finished,
    ItemBegun,
    ItemText,
)
from llamakeep.providers.prompted.tools import calls_read, held_to, told

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city", "parameters": CITY},
}
NOW = {"type": "function", "function": {"name": "now", "strict": True}}
NAMED = {"type": "function", "function": {"name": "now"}}
HI = Message("user", "Hi")
CALL = ToolCall("a", "weather", '{"city": "Jeju"}')
CALLING = '{"name": "weather", "parameters": {"city": "Jeju"}}'


def requested(*messages: Message, **parameters: Any) -> CompletionRequest:
    given: dict[str, Any] = {
        "tools": (WEATHER, NOW),
        "prompted_tools": True,
    } | parameters
    return CompletionRequest(
        run_id="run_1",
        attempt=1,
        model="parrot",
        messages=messages or (HI,),
        parameters=Parameters(**given),
    )


def test_tools_are_described_behind_the_system_prompt() -> None:
    system = Message("system", "Be brief.")

    [with_it, _] = told(requested(system, HI)).messages
    [alone, asked] = told(requested()).messages

    assert with_it == Message("system", f"Be brief.\n\n{alone.content}")
    assert alone.role == "system"
    assert asked == HI
    *_, weather, now = map(str, alone.content.splitlines())
    assert json.loads(weather) == WEATHER["function"]
    assert json.loads(now)["name"] == "now"


def test_nothing_is_left_that_a_server_would_have_to_know() -> None:
    asked = requested(tool_choice="auto", parallel_tool_calls=False, seed=1)

    assert told(asked).parameters == Parameters(seed=1)


def test_without_a_choice_of_tools_none_is_described() -> None:
    assert told(requested(tool_choice="none")).messages == (HI,)


def test_of_a_named_tool_nothing_but_that_is_described() -> None:
    system, _ = told(requested(tool_choice=NAMED)).messages

    assert "weather" not in system.content
    assert "answer with a call" in system.content


def test_what_was_called_is_written_as_a_call_is_to_be_written() -> None:
    said = [
        message_of("assistant", [Reasoning("Hm."), Text("Let me see."), CALL]),
        message_of("tool", [ToolResult("a", "Rain")]),
        message_of("assistant", [Refusal("No.")]),
        message_of("assistant", [ToolCall("b", "now", ""), ToolCall("c", "now", "{")]),
        message_of("tool", [ToolResult("b", "Noon")]),
        message_of("tool", [ToolResult("c", "Five")]),
        message_of("user", [ToolResult("d", "What?"), Text("Thanks.")]),
        message_of("assistant", [Reasoning("Hm.")]),
    ]
    begin = [
        Message("assistant", f"Let me see.\n{CALLING}"),
        Message("user", "weather returned:\nRain"),
        Message("assistant", "No."),
        Message(
            "assistant",
            '{"name": "now", "parameters": {}}\n{"name": "now", "parameters": "{"}',
        ),
    ]
    asked = requested(*said, tools=(), prompted_tools=None)

    assert told(asked).messages == [
        *begin,
        Message(
            "user", "now returned:\nNoon\n\nnow returned:\nFive\n\nd returned:\nWhat?"
        ),
        Message("user", "Thanks."),
    ]
    assert told(asked, has_tool_role=True).messages == [
        begin[0],
        Message("tool", "Rain"),
        *begin[2:],
        Message("tool", "now returned:\nNoon"),
        Message("tool", "now returned:\nFive"),
        Message("tool", "d returned:\nWhat?"),
        Message("user", "Thanks."),
    ]


def schema_of(**parameters: Any) -> dict[str, Any]:
    wanted = held_to(requested(**parameters).parameters)
    assert wanted is not None
    schema: dict[str, Any] = wanted["json_schema"]["schema"]
    return schema


def test_an_answer_is_held_to_a_call_where_it_has_to_be_one() -> None:
    required = schema_of(tool_choice="required")
    named = schema_of(tool_choice=NAMED)

    assert required["anyOf"] == [{"$ref": "#/$defs/0"}, {"$ref": "#/$defs/1"}]
    weather, now = required["$defs"].values()
    assert weather["properties"] == {"name": {"const": "weather"}, "parameters": CITY}
    assert [*named["$defs"].values()] == [now]


def test_an_answer_is_held_to_a_form_or_a_call_where_it_may_be_either() -> None:
    wanted = {"json_schema": {"name": "a", "schema": {"type": "array"}}}

    schema = schema_of(response_format=wanted)

    assert schema["$defs"]["2"] == {"type": "array"}
    assert schema_of(response_format=wanted, tools=()) == {"type": "array"}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tools": (), "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_else_an_answer_is_held_to_what_was_asked_for(
    parameters: dict[str, Any],
) -> None:
    given = requested(**parameters).parameters

    assert held_to(given) == given.response_format


def test_references_in_schemas_lead_to_where_these_are_now() -> None:
    schema = {
        "type": "object",
        "properties": {
            "$ref": {"const": {"$ref": "#/x"}},
            "list": {"items": [{"$ref": "#/$defs/A"}, {"$ref": "other.json#"}]},
        },
        "$defs": {"A": {"$ref": "#"}},
    }
    tool = {"function": {"name": "f", "parameters": schema}}

    moved = schema_of(tools=(tool,), tool_choice="required")

    place = "#/$defs/0/properties/parameters"
    found = moved["$defs"]["0"]["properties"]["parameters"]
    assert found["$defs"] == {"A": {"$ref": place}}
    assert found["properties"]["list"]["items"] == [
        {"$ref": f"{place}/$defs/A"},
        {"$ref": "other.json#"},
    ]
    assert found["properties"]["$ref"] == {"const": {"$ref": "#/x"}}


async def said(*script: Event | LlamaKeepError) -> Sequence[Event | LlamaKeepError]:
    async def events() -> AsyncGenerator[Event, None]:
        for event in script:
            if isinstance(event, LlamaKeepError):
                raise event
            yield event

    heard: list[Event | LlamaKeepError] = []
    try:
        async with aclosing(calls_read(requested(), events())) as read:
            async for event in read:
                heard += [event]
    except LlamaKeepError as error:
        heard.append(error)
    return heard


BEGUN = [ItemBegun(ToolCall("call_1_1", "weather")), ItemText('{"city": "Jeju"}')]


@pytest.mark.parametrize(
    ("reason", "seen"), [("stop", "tool_calls"), ("length", "length"), (None, None)]
)
async def test_an_answer_that_ends_with_a_call_stops_for_it(
    reason: str | None, seen: str | None
) -> None:
    heard = await said(Accepted(), CALLING[:9], CALLING[9:], Finished(reason))

    assert heard == [Accepted(), *BEGUN, Finished(seen)]


async def test_an_answer_that_ends_with_text_stops() -> None:
    heard = await said(Accepted(), CALLING, "Done.", Finished("stop"))

    assert heard == [Accepted(), *BEGUN, ItemBegun(Text()), "Done.", Finished("stop")]


async def test_half_a_call_is_text_at_the_end() -> None:
    heard = await said(Accepted(), CALLING[:30], Finished("length"))

    assert heard == [Accepted(), CALLING[:30], Finished("length")]


@pytest.mark.parametrize("error", [ProviderUnavailable("x"), PromptRejected("x")])
async def test_half_a_call_is_text_where_nothing_more_can_come(
    error: LlamaKeepError,
) -> None:
    assert await said(Accepted(), CALLING[:30], error) == [
        Accepted(),
        CALLING[:30],
        error,
    ]


async def test_half_a_call_is_not_said_where_the_rest_may_be_fetched() -> None:
    error = ProviderUnavailable("x")
    error.answer_may_exist = True

    assert await said(Accepted(), CALLING[:30], error) == [Accepted(), error]
