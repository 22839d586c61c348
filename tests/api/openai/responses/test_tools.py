"""OpenAI's Responses API: tools and their calls in requests."""

from typing import Any

import pytest
from pydantic import ByteSize

from llamakeep.api.openai.responses.reading import read_input
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
from llamakeep.errors import InvalidRequest
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.openai.responding import ask, refusal
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": SCHEMA,
    "strict": True,
}
FLAT = {"type": "function", **FUNCTION}
NESTED = {"type": "function", "function": FUNCTION}
NAMED = {"type": "function", "name": "get_weather"}
NAMESPACE = {
    "type": "namespace",
    "name": "weather",
    "description": "About the sky.",
    "tools": [FLAT, {"type": "function", "name": "now"}],
}
ASKS = {"role": "user", "content": "Is it cold?"}
CALL_A, CALL_B = ToolCall("a", "get_weather", '{"city":"Oslo"}'), ToolCall("b", "now")


def call(part: ToolCall = CALL_A, **fields: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": part.call_id,
        "name": part.name,
        "arguments": part.text,
        **fields,
    }


def output(call_id: str = "a", **fields: Any) -> dict[str, Any]:
    said = {"type": "function_call_output", "call_id": call_id, "output": "-3"}
    return said | fields


def result(call_id: str = "a", text: str = "-3") -> Message:
    return message_of("tool", [ToolResult(call_id, text)])


@pytest.mark.parametrize(
    ("fields", "expected", "echoed"),
    [
        ({"tools": [FLAT]}, Parameters(tools=(NESTED,)), {"tools": [FLAT]}),
        (
            {
                "tools": [FLAT],
                "tool_choice": "required",
                "parallel_tool_calls": False,
            },
            Parameters(
                tools=(NESTED,), tool_choice="required", parallel_tool_calls=False
            ),
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tools": [FLAT], "tool_choice": NAMED},
            Parameters(
                tools=(NESTED,),
                tool_choice={"type": "function", "function": {"name": "get_weather"}},
            ),
            {"tool_choice": NAMED, "parallel_tool_calls": True},
        ),
        (
            {"tools": [NAMED | {"strict": None}]},
            Parameters(
                tools=({"type": "function", "function": {"name": "get_weather"}},)
            ),
            {
                "tools": [
                    NAMED | {"description": None, "parameters": None, "strict": None}
                ],
                "tool_choice": "auto",
            },
        ),
        (
            {"reasoning": {"effort": "high"}, "text": {"verbosity": "low"}},
            Parameters(reasoning_effort="high", verbosity="low"),
            {
                "reasoning": {"effort": "high", "summary": None},
                "text": {"format": {"type": "text"}, "verbosity": "low"},
            },
        ),
        (
            {"tools": [], "tool_choice": "none", "parallel_tool_calls": False},
            Parameters(),
            {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        ),
    ],
)
async def test_tools_and_effort_reach_the_model_and_come_back(
    client: Client,
    provider: ScriptedProvider,
    fields: dict[str, Any],
    expected: Parameters,
    echoed: dict[str, Any],
) -> None:
    response = await ask(client, **fields)
    again = (await client.get(f"/v1/responses/{response['id']}")).json()

    assert provider.requests[0].parameters == expected
    for shown in (response, again):
        assert {name: shown[name] for name in echoed} == echoed


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            [
                ASKS,
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "Where?"}],
                    "encrypted_content": None,
                    "status": "completed",
                },
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "I look."}],
                },
                call(id="fc_1", status="completed", parsed_arguments={"city": "Oslo"}),
                call(CALL_B),
                output("b"),
                output("a", output=[{"type": "input_text", "text": "0"}]),
            ],
            [
                Message("user", "Is it cold?"),
                message_of(
                    "assistant",
                    [Reasoning("Where?"), Text("I look."), CALL_A, CALL_B],
                ),
                result("b"),
                result("a", "0"),
            ],
        ),
        (
            [call(), output(output=[]), call(CALL_B), output("b"), ASKS],
            [
                message_of("assistant", [CALL_A]),
                result("a", ""),
                message_of("assistant", [CALL_B]),
                result("b"),
                Message("user", "Is it cold?"),
            ],
        ),
        (
            [
                {
                    "type": "reasoning",
                    "summary": [
                        {"type": "summary_text", "text": "One"},
                        {"type": "summary_text", "text": "two"},
                    ],
                },
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "N"}]},
                ASKS,
            ],
            [
                message_of("assistant", [Reasoning("One\ntwo"), Refusal("N")]),
                Message("user", "Is it cold?"),
            ],
        ),
        (
            [
                {"role": "assistant", "content": "One."},
                {"type": "reasoning", "summary": []},
                {"role": "assistant", "content": "Two."},
                ASKS,
            ],
            [
                Message("assistant", "One."),
                Message("assistant", "Two."),
                Message("user", "Is it cold?"),
            ],
        ),
        (
            [
                {"role": "assistant", "name": "ada", "content": "One."},
                call(caller={"type": "direct"}),
                output(name="get_weather", caller={"type": "direct"}),
                {"role": "developer", "content": "Go on."},
            ],
            [
                message_of("assistant", [Text("One."), CALL_A], "ada"),
                message_of("tool", [ToolResult("a", "-3")], "get_weather"),
                Message("system", "Go on."),
            ],
        ),
    ],
)
async def test_items_of_a_tool_loop_reach_the_model(
    client: Client,
    provider: ScriptedProvider,
    items: list[Any],
    expected: list[Message],
) -> None:
    await ask(client, items)

    assert [*provider.requests[0].messages] == expected


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([ASKS, call()], "input[1].call_id"),
        ([call(), ASKS], "input[0].call_id"),
        ([call(), call(CALL_B), output(), ASKS], "input[0].call_id"),
        ([call(), output(), output()], "input[2].call_id"),
        ([call(), call(), output()], "input[1].call_id"),
        ([call(), output("b")], "input[1].call_id"),
        ([output()], "input[0].call_id"),
        ([ASKS, output()], "input[1].call_id"),
        ([call(), ASKS, output()], "input[0].call_id"),
        (
            [call(), {"role": "assistant", "content": "", "name": "x"}, output()],
            "input[0].call_id",
        ),
        ([call(call_id=None), output()], "input[0].call_id"),
        ([call(call_id=""), output()], "input[0].call_id"),
        ([call(name=5), output()], "input[0].name"),
        ([call(arguments={}), output()], "input[0].arguments"),
        ([call(arguments="\0"), output()], "input[0].arguments"),
        ([call(), output() | {"call_id": 5}], "input[1].call_id"),
        ([call(), output(output=None)], "input[1].output"),
        ([call(), output(output=[{"text": "x"}])], "input[1].output[0]"),
        ([{"type": "reasoning", "summary": "x"}, ASKS], "input[0].summary"),
        ([{"type": "reasoning", "content": ["x"]}, ASKS], "input[0].content[0]"),
        (
            [{"type": "reasoning", "summary": [{"type": "summary_text"}]}, ASKS],
            "input[0].summary[0].text",
        ),
        ([{"type": "reasoning", "summary": []}], "input"),
        (
            [
                ASKS,
                {
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "x"}],
                },
            ],
            "input[1]",
        ),
    ],
)
async def test_a_tool_loop_that_makes_no_sense_is_refused_by_name(
    shared_client: Client, items: list[Any], param: str
) -> None:
    error = await refusal(shared_client, {"input": items})

    assert (error["param"], error["code"]) == (param, "invalid_value")
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [FLAT], "tool_choice": "any"}, "tool_choice", "invalid_value"),
        (
            {"tools": [FLAT], "tool_choice": NAMED | {"name": "now"}},
            "tool_choice.name",
            "invalid_value",
        ),
        (
            {"tools": [FLAT], "tool_choice": NAMED | {"more": 1}},
            "tool_choice.more",
            "unknown_parameter",
        ),
        ({"tools": [FLAT, FLAT]}, "tools[1].name", "invalid_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [NESTED]}, "tools[0].function", "unknown_parameter"),
        ({"tools": [FLAT | {"more": 1}]}, "tools[0].more", "unknown_parameter"),
        ({"tools": [5]}, "tools[0]", "invalid_value"),
        ({"tools": [FLAT] * 129}, "tools", "invalid_value"),
        ({"tools": [NAMESPACE | {"name": ""}]}, "tools[0].name", "invalid_value"),
        ({"tools": [NAMESPACE | {"tools": 5}]}, "tools[0].tools", "invalid_value"),
        ({"tools": [NAMESPACE | {"more": 1}]}, "tools[0].more", "unknown_parameter"),
        (
            {"tools": [FLAT, NAMESPACE | {"tools": [FLAT, 5]}]},
            "tools[1].tools[1]",
            "invalid_value",
        ),
        (
            {"tools": [NAMESPACE | {"name": 60 * "w"}]},
            "tools[0].tools[0].name",
            "invalid_value",
        ),
        ({"tools": [NAMESPACE] * 2}, "tools[1].tools[0].name", "invalid_value"),
        ({"reasoning": {"effort": ""}}, "reasoning.effort", "invalid_value"),
        ({"reasoning": {"more": 1}}, "reasoning.more", "unknown_parameter"),
        ({"text": {"verbosity": 5}}, "text.verbosity", "invalid_value"),
    ],
)
async def test_tools_that_make_no_sense_are_refused_by_name(
    shared_client: Client, fields: dict[str, Any], param: str, code: str
) -> None:
    error = await refusal(shared_client, fields)

    assert (error["param"], error["code"]) == (param, code)
    assert await shared_client.history() == []


async def called(client: Client, provider: ScriptedProvider) -> dict[str, Any]:
    """Return a response that calls two tools."""
    provider.script = [ItemBegun(CALL_A), ItemText("{}"), ItemBegun(CALL_B)]
    response = await ask(client, tools=[FLAT])
    provider.script = ["It is cold."]
    return response


async def test_a_tool_in_a_namespace_is_one_function_to_the_model(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = [
        ItemBegun(ToolCall("a", "weather__get_weather")),
        ItemText("{}"),
    ]
    first = await ask(client, tools=[NAMESPACE, NAMED])
    provider.script = ["It is cold."]
    again = [ASKS, *first["output"], output(namespace="weather")]
    await ask(client, again, tools=[NAMESPACE])

    functions = [tool["function"] for tool in provider.requests[0].parameters.tools]
    told = "About the sky."
    assert functions == [
        {
            **FUNCTION,
            "name": "weather__get_weather",
            "description": f"{told}\n\nTells the weather.",
        },
        {"name": "weather__now", "description": told},
        {"name": "get_weather"},
    ]
    [call] = first["output"]
    assert (call["namespace"], call["name"]) == ("weather", "get_weather")
    assert [tool["name"] for tool in first["tools"]] == ["get_weather", "weather"]
    shown = first["tools"][1]
    assert shown["description"] == told
    assert shown["tools"][0] == FLAT
    [_, said, _] = provider.requests[1].messages
    assert said.parts == (ToolCall("a", "weather__get_weather", "{}"),)


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
async def test_outputs_answer_the_calls_of_the_response_that_they_follow(
    client: Client, provider: ScriptedProvider, field: str
) -> None:
    first = await called(client, provider)
    follows = first["id"] if field != "conversation" else first["conversation"]

    await ask(client, [output("b"), output("a"), ASKS], **{field: follows})

    assert [*provider.requests[1].messages] == [
        Message("user", "Hi"),
        message_of("assistant", [ToolCall("a", "get_weather", "{}"), CALL_B]),
        result("b"),
        result("a"),
        Message("user", "Is it cold?"),
    ]


@pytest.mark.parametrize(
    ("given", "param", "named"),
    [
        ("And?", "input", "call 'a', 'b'."),
        ([ASKS], "input", "call 'a', 'b'."),
        ([output("a")], "input", "No tool output found for function call 'b'."),
        ([output("a"), ASKS, output("b")], "input[2].call_id", "'b'"),
        ([output("a"), output("a")], "input[1].call_id", "input.0"),
        ([output("a"), output("c"), output("b")], "input[1].call_id", "'c'"),
    ],
)
async def test_calls_that_lack_their_outputs_are_named(
    client: Client,
    provider: ScriptedProvider,
    given: Any,
    param: str,
    named: str,
) -> None:
    first = await called(client, provider)

    error = await refusal(client, {"input": given, "previous_response_id": first["id"]})

    assert (error["param"], error["code"]) == (param, "invalid_value")
    assert named in error["message"]
    assert len(await client.history()) == 1


async def test_outputs_need_calls_in_the_response_that_they_follow(
    client: Client,
) -> None:
    first = await ask(client)

    error = await refusal(
        client, {"input": [output()], "previous_response_id": first["id"]}
    )

    assert error["param"] == "input[0].call_id"


async def test_a_response_with_calls_can_be_sent_back_as_it_is(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await called(client, provider)

    await ask(client, [ASKS, *first["output"], output("a"), output("b")])

    assert [one.parts for one in provider.requests[1].messages[1:2]] == [
        (ToolCall("a", "get_weather", "{}"), CALL_B)
    ]


async def test_tools_that_no_model_here_can_call_are_refused(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(unsupported=frozenset({"tools"}))

    async with connect(settings, provider) as client:
        error = await refusal(client, {"tools": [FLAT]})
        told = await refusal(client, {"input": [ASKS, call(), output()]})

    assert error["code"] == told["code"] == "unsupported_parameter"
    assert told["param"] == "input[1]"
    assert provider.requests == []


def test_very_many_calls_are_read_at_once() -> None:
    many = 20_000
    items = [call(ToolCall(str(number), "f")) for number in range(many)]
    outputs = [output(str(number)) for number in range(many)]

    given = read_input([*items, *outputs], is_continued=False)

    assert len(given.earlier) == many
    with pytest.raises(InvalidRequest):
        read_input(items, is_continued=False)


async def test_a_tool_loop_without_end_stops_at_what_a_model_is_given(
    settings: Settings,
) -> None:
    provider = ScriptedProvider([ItemBegun(ToolCall("a", "now")), ItemText("{}")])
    small = settings.model_copy(update={"max_context_size": ByteSize(4096)})
    steps: list[str] = []
    async with connect(small, provider) as client:
        response = await client.post("/v1/responses", json={"input": "Hi"})
        while response.status_code == 200:
            steps.append(response.json()["id"])
            body = {"input": [output()], "previous_response_id": steps[-1]}
            response = await client.post("/v1/responses", json=body)
        history = await client.history()

    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert len(history) == len(steps) > 2
