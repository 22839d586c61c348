"""Outputs that are objects: what is read from them, and what stays as it is."""

import json
from typing import Any

import pytest

from llamakeep.domain import Item, Parameters, Reasoning, Text, ToolCall
from llamakeep.providers.registry import Registry
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.outputs import OUTPUT_FIELDS, read_output
from tests.providers.asking import Answer, ask
from tests.providers.replicating import (
    FORMAT,
    GPT,
    STRUCTURED,
    TOOL,
    Control,
    asking,
)

CALL: dict[str, Any] = {"id": "c1", "function": {"name": "weather", "arguments": "{}"}}
FLAT: dict[str, Any] = {"call_id": "c1", "name": "weather", "arguments": {"a": 1}}


@pytest.mark.parametrize(
    ("output", "text", "items"),
    [
        ({"text": "Hi", "json_output": None, "id": "r1"}, "Hi", []),
        ({"text": ["H", "i"], "json_output": {}}, "Hi", []),
        ({"text": None, "json_output": {"a": "ü"}}, '{"a": "ü"}', []),
        ({"text": "", "tool_calls": []}, "", []),
        ({"text": "a\0\ud800"}, "a\ufffd\ufffd", []),
        ({"tool_calls": [CALL]}, "", [ToolCall("c1", "weather", "{}")]),
        ({"tool_calls": [FLAT]}, "", [ToolCall("c1", "weather", '{"a": 1}')]),
        (
            {"function_calls": [{"name": "weather"}, {"name": "weather"}]},
            "",
            [
                ToolCall("call_1_1", "weather", "{}"),
                ToolCall("call_1_2", "weather", "{}"),
            ],
        ),
        (
            {"text": "Wait.", "tool_calls": [CALL]},
            "Wait.",
            [ToolCall("c1", "weather", "{}")],
        ),
        (
            {"text": "Hi", "reasoning": "Well"},
            "Hi",
            [Reasoning("Well"), Text("Hi")],
        ),
    ],
)
def test_an_object_with_text_json_or_calls_is_read(
    output: dict[str, Any], text: str, items: list[Item]
) -> None:
    answer = Answer()
    for each in read_output(json.dumps(output), OUTPUT_FIELDS, "run_1"):
        answer.add(each)

    assert (answer.text, answer.items) == (text, items)


@pytest.mark.parametrize(
    "output",
    [
        {"text": {"parts": []}},
        {"text": "Hi", "tool_calls": "none"},
        {"text": "Hi", "tool_calls": [1]},
        {"text": "Hi", "tool_calls": [{"function": 1}]},
        {"text": "Hi", "tool_calls": [{"name": ""}]},
        {"text": "Hi", "tool_calls": [{"name": 300 * "x"}]},
        {"text": "Hi", "tool_calls": [CALL, CALL]},
        {"text": "Hi", "tool_calls": 65 * [FLAT]},
        [1, 2],
        "half an obj",
    ],
)
def test_what_cannot_be_read_stays_as_it_is(output: Any) -> None:
    text = output if isinstance(output, str) else json.dumps(output)

    assert read_output(text, OUTPUT_FIELDS, "run_1") == [text]


@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_model_whose_output_is_an_object_says_its_text(
    replicate: ReplicateProvider, *, is_followed: bool
) -> None:
    request = asking("one two", model=STRUCTURED, is_followed=is_followed)
    answer = await ask(replicate, request)

    assert answer.text == "one two"
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"


@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_model_that_has_tools_calls_them(
    replicate: ReplicateProvider, control: Control, *, is_followed: bool
) -> None:
    await control.rule(output={"text": None, "tool_calls": [CALL]})

    request = asking(model=STRUCTURED, tools=(TOOL,), is_followed=is_followed)
    answer = await ask(replicate, request)

    [tool] = (await control.only())["input"]["tools"]
    assert tool["name"] == "weather"
    assert answer.items == [ToolCall("c1", "weather", "{}")]
    assert answer.finished is not None
    assert answer.finished.finish_reason == "tool_calls"


async def test_calls_that_a_model_with_tools_writes_as_text_are_read(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=['{"name": "weather", ', '"arguments": {}}'])

    answer = await ask(replicate, asking(model=GPT, tools=(TOOL,)))

    assert (await control.only())["input"]["tools"] == [TOOL]
    assert answer.items == [ToolCall("call_1_1", "weather", "{}")]


async def test_a_model_that_has_a_format_is_held_to_it(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(output={"text": None, "json_output": {"a": 1}})
    given = Parameters(response_format=FORMAT, reasoning_effort="low", tools=(TOOL,))

    await Registry([replicate]).check_parameters(replicate, STRUCTURED, given)
    request = asking(model=STRUCTURED, response_format=FORMAT, reasoning_effort="low")
    answer = await ask(replicate, request)

    sent = (await control.only())["input"]
    assert sent["json_schema"]["format"]["name"] == "answer"
    assert sent["reasoning_effort"] == "low"
    assert answer.text == '{"a": 1}'
    assert not replicate.prompts_format(STRUCTURED)
