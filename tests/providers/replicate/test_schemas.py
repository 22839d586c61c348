"""What models take, read from whatever OpenAPI document Replicate has of them."""

from time import thread_time
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, ToolCall, ToolResult
from llamakeep.domain.messages import message_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.replicate.input_schema import read_schema
from llamakeep.providers.replicate.inputs import build_input
from llamakeep.providers.replicate.openapi import LONGEST_NAME, MOST_FIELDS, Field
from tests.providers.replicating import (
    FORMAT,
    GPT,
    MAVERICK,
    SCOUT,
    STRUCTURED,
    TOOL,
    asking,
    emulated,
    schema_of,
    version,
)

LOW_OR_HIGH: dict[str, Any] = {"enum": ["low", "high"], "type": "string"}


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({}, Field()),
        (None, Field()),
        ([], Field()),
        ({"type": "integer", "default": 3}, Field(frozenset({"integer"}), default=3)),
        ({"type": ["integer", "null"]}, Field(frozenset({"integer"}))),
        ({"type": [{}, 1]}, Field()),
        ({"default": {"a": 1}}, Field()),
        ({"default": 300 * "x"}, Field()),
        ({"minimum": 0, "maximum": 1.5}, Field(minimum=0, maximum=1.5)),
        ({"minimum": "0", "maximum": True}, Field()),
        ({"minimum": float("nan"), "maximum": 10**400}, Field()),
        (
            {"minimum": 0, "exclusiveMinimum": True},
            Field(minimum=0, excludes_minimum=True),
        ),
        ({"exclusiveMaximum": 2}, Field(maximum=2, excludes_maximum=True)),
        ({"maximum": 1, "exclusiveMaximum": 2}, Field(maximum=1)),
        ({"enum": ["low", "high"]}, Field(values=("low", "high"))),
        ({"enum": ["low", None]}, Field(values=("low",))),
        ({"enum": []}, Field()),
        ({"enum": [{"a": 1}]}, Field()),
        ({"enum": list(range(1000))}, Field()),
        ({"const": "low"}, Field(values=("low",))),
        (
            {"type": "array", "items": {"type": "string"}},
            Field(frozenset({"array"}), frozenset({"string"})),
        ),
        ({"$ref": "#/components/schemas/x"}, Field(frozenset({"integer"}), minimum=2)),
        ({"$ref": "#/components/schemas/gone"}, Field()),
        ({"$ref": "other.json#/x"}, Field()),
        ({"$ref": "#/components/schemas/round"}, Field()),
        ({"$ref": 7}, Field()),
        (
            {"allOf": [{"$ref": "#/components/schemas/x"}], "default": 4},
            Field(frozenset({"integer"}), default=4, minimum=2),
        ),
        ({"allOf": [{"minimum": 1}, {"minimum": 3}]}, Field(minimum=3)),
        ({"allOf": "x", "anyOf": {}, "oneOf": [None, 1]}, Field()),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
            Field(frozenset({"integer"}), minimum=1),
        ),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]},
            Field(frozenset({"integer", "string"})),
        ),
        ({"anyOf": [{"type": "integer"}, {}]}, Field()),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, Field(values=("a", "b"))),
    ],
)
def test_a_field_is_read_leniently(written: Any, field: Field) -> None:
    found = schema_of(
        {"a": written},
        x={"type": "integer", "minimum": 2},
        round={"allOf": [{"$ref": "#/components/schemas/round"}]},
    )

    assert found.fields["a"] == field


@pytest.mark.parametrize(
    "inputs",
    [
        {"$ref": "#/components/schemas/Real"},
        {"allOf": [{"type": "object"}, {"$ref": "#/components/schemas/Real"}]},
    ],
)
def test_the_input_may_be_somewhere_else(inputs: dict[str, Any]) -> None:
    real: dict[str, Any] = {"properties": {"prompt": {}, "seed": {}}}
    schemas = {"Input": inputs, "Real": real}
    found = read_schema(
        {"id": "v1", "openapi_schema": {"components": {"schemas": schemas}}}
    )

    assert found is not None
    assert found.fields.keys() == {"prompt", "seed"}


@pytest.mark.parametrize(
    "read",
    [
        None,
        [],
        {"id": "v1"},
        {"id": "v1", "openapi_schema": {}},
        {"id": "v1", "openapi_schema": {"components": []}},
        {"id": "v1", "openapi_schema": {"components": {"schemas": {"Input": 1}}}},
        {"id": 1, "openapi_schema": version({})["openapi_schema"]},
        {
            "id": "v1",
            "openapi_schema": {
                "components": {"schemas": {"Input": {"properties": {"image": {}}}}}
            },
        },
    ],
)
def test_a_model_that_is_not_described_as_one_of_texts_is_not_known(read: Any) -> None:
    assert read_schema(read) is None


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"minimum": 1}
    for _ in range(depth):
        schema = {"anyOf": [schema, {"allOf": [schema]}]}
    return schema


@pytest.mark.parametrize(
    "fields",
    [
        {f"field_{number}": {"type": "string"} for number in range(100_000)},
        {"a": nested(40)},
        {"a": {"allOf": 200 * [{"$ref": "#/components/schemas/Input"}]}},
        {"a": {"anyOf": 500 * [{"enum": list(range(200))}]}},
        {1000 * "x": {}},
    ],
)
def test_a_huge_document_takes_bounded_time_and_memory(fields: dict[str, Any]) -> None:
    began = thread_time()
    found = schema_of(fields)

    assert thread_time() - began < 10  # and 0.2 where nothing else runs
    assert len(found.fields) <= MOST_FIELDS
    assert all(len(name) <= LONGEST_NAME for name in found.fields)


@pytest.mark.parametrize(
    ("field", "name", "value", "says"),
    [
        ({"minimum": 0, "maximum": 5}, "temperature", 5.5, "numbers from 0 up to 5"),
        ({"maximum": 5}, "temperature", 5, None),
        ({"exclusiveMinimum": 0}, "temperature", 0, "numbers above 0"),
        ({"exclusiveMaximum": 1}, "top_p", 1, "numbers below 1"),
        ({"minimum": 0}, "top_k", -1, "numbers from 0"),
        ({"type": "integer"}, "temperature", 0.5, "whole numbers"),
        ({"type": "integer"}, "temperature", 1.0, None),
        ({"maximum": 10}, "max_tokens", 11, "numbers up to 10"),
        ({"allOf": [LOW_OR_HIGH]}, "reasoning_effort", "none", "one of 'low', 'high'"),
        ({"allOf": [LOW_OR_HIGH]}, "verbosity", "high", None),
        ({"type": "string"}, "stop", ("a,b",), "cannot have a comma|can have a comma"),
        ({"type": "array"}, "stop", ("a,b",), None),
    ],
)
def test_a_value_that_a_model_does_not_take_is_refused_by_name(
    field: dict[str, Any], name: str, value: Any, says: str | None
) -> None:
    schema = schema_of({name: field})
    given = Parameters(**{name: value})

    if says is None:
        assert name in schema.written("a/b", given)
        return
    with pytest.raises(UnsupportedParameter, match=says) as caught:
        schema.written("a/b", given)
    assert caught.value.parameters == (name,)


@pytest.mark.parametrize(
    ("fields", "parameters", "sent"),
    [
        (
            {"max_completion_tokens": {}},
            {"max_tokens": 5},
            {"max_completion_tokens": 5},
        ),
        ({"max_output_tokens": {}}, {"max_tokens": 5}, {"max_output_tokens": 5}),
        (
            {"max_tokens": {}, "max_length": {}},
            {"max_tokens": 5},
            {"max_tokens": 5},
        ),
        ({"max_tokens": {"maximum": 9}}, {"max_tokens": 10}, {"max_tokens": 9}),
        ({"stop": {"type": "array"}}, {"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        ({"stop": {"type": "string"}}, {"stop": ("a", "b")}, {"stop": "a,b"}),
        ({}, {"reasoning_effort": "none"}, {}),
        ({"tools": {}}, {"tools": (TOOL,)}, {"tools": [TOOL]}),
        (
            {"tools": {}},
            {"tools": (TOOL,), "tool_choice": "auto", "parallel_tool_calls": True},
            {"tools": [TOOL]},
        ),
        ({"tools": {}}, {"tools": (TOOL,), "tool_choice": "none"}, {}),
        (
            {"tools": {"type": "array", "items": {"type": "string"}}},
            {"tools": ({"type": "function", "function": {"name": "f"}},)},
            {"tools": ['{"type": "function", "function": {"name": "f"}}']},
        ),
        (
            {"response_format": {}},
            {"response_format": FORMAT},
            {"response_format": FORMAT},
        ),
        (
            {"json_schema": {}},
            {"response_format": FORMAT},
            {"json_schema": {"type": "object"}},
        ),
        (
            {"json_schema": {"type": "string"}},
            {"response_format": FORMAT},
            {"json_schema": '{"type": "object"}'},
        ),
        (
            {"json_schema": {}, "input_item_list": {}},
            {"response_format": FORMAT},
            {
                "json_schema": {
                    "format": {
                        "type": "json_schema",
                        "name": "answer",
                        "schema": {"type": "object"},
                    }
                }
            },
        ),
        (
            {"tools": {}, "tool_choice": {}, "input_item_list": {}},
            {
                "tools": (TOOL,),
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
            },
            {
                "tools": [
                    {
                        "type": "function",
                        "name": "weather",
                        "parameters": {"type": "object"},
                    }
                ],
                "tool_choice": {"type": "function", "name": "weather"},
            },
        ),
    ],
)
def test_a_parameter_goes_to_the_field_that_there_is(
    fields: dict[str, Any], parameters: dict[str, Any], sent: dict[str, Any]
) -> None:
    given = build_input(asking("Hi", model="a/b", **parameters), schema_of(fields))

    assert given == {"prompt": "Hi", **sent}


@pytest.mark.parametrize(
    ("fields", "parameters", "named"),
    [
        ({}, {"tools": (TOOL,)}, ["tools"]),
        ({"tools": {}}, {"tools": (TOOL,), "tool_choice": "required"}, ["tool_choice"]),
        (
            {"tools": {}},
            {"tools": (TOOL,), "parallel_tool_calls": False},
            ["parallel_tool_calls"],
        ),
        ({}, {"response_format": FORMAT, "seed": 1}, ["response_format", "seed"]),
        (
            {"json_schema": {}},
            {"response_format": {"type": "json_object"}},
            ["response_format"],
        ),
    ],
)
def test_what_a_model_has_no_field_for_is_refused_by_name(
    fields: dict[str, Any], parameters: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        build_input(asking("Hi", model="a/b", **parameters), schema_of(fields))

    assert list(caught.value.parameters) == named


SYSTEM = Message("system", "Be brief.")
LOOP = (
    SYSTEM,
    Message("user", "Rain?"),
    message_of("assistant", [ToolCall("c1", "weather", "{}")]),
    message_of("tool", [ToolResult("c1", "No.")]),
)


@pytest.mark.parametrize(
    ("name", "place", "sent"),
    [
        (MAVERICK, 0, {"prompt": "Hi", "system_prompt": "Be brief."}),
        (MAVERICK, 1, {"prompt": "System: Be brief.\n\nUser: Hi\n\nAssistant:"}),
        (SCOUT, 0, {"prompt": "System: Be brief.\n\nUser: Hi\n\nAssistant:"}),
        (GPT, 0, {"prompt": "Hi", "system_prompt": "Be brief."}),
        (STRUCTURED, 0, {"prompt": "Hi", "instructions": "Be brief."}),
    ],
)
def test_a_system_prompt_is_given_to_the_field_that_there_is(
    name: str, place: int, sent: dict[str, Any]
) -> None:
    request = asking("Hi", model=name, before=(SYSTEM,))

    assert build_input(request, emulated(name, place)) == sent


def test_a_model_that_takes_messages_gets_them_as_they_are() -> None:
    request = asking("Sure? <|eot|>", model=GPT, before=LOOP)

    function = {"name": "weather", "arguments": "{}"}
    assert build_input(request, emulated(GPT)) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Rain?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "No."},
            {"role": "user", "content": "Sure? <|eot|>"},
        ]
    }


def test_a_model_that_takes_items_gets_them() -> None:
    request = asking("Sure?", model=STRUCTURED, before=LOOP)

    assert build_input(request, emulated(STRUCTURED)) == {
        "input_item_list": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Rain?"},
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "weather",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "c1", "output": "No."},
            {"role": "user", "content": "Sure?"},
        ]
    }


def test_messages_are_written_as_text_where_a_model_takes_that() -> None:
    schema = schema_of({"messages": {"type": "string"}})
    request = asking("Hi", model="a/b", before=(SYSTEM,))

    assert build_input(request, schema)["messages"] == (
        '[{"role": "system", "content": "Be brief."}, '
        '{"role": "user", "content": "Hi"}]'
    )


def test_a_llama_that_takes_a_prompt_alone_is_told_of_tools_and_format_there() -> None:
    request = asking(
        "Hi",
        model=SCOUT,
        tools=(TOOL,),
        response_format=FORMAT,
        prompted_tools=True,
        prompted_format=True,
    )

    given = build_input(request, emulated(SCOUT))

    assert given.keys() == {"prompt"}
    assert '"name": "weather"' in given["prompt"]
    assert 'this JSON schema:\n{"type": "object"}' in given["prompt"]


@pytest.mark.parametrize(
    ("output", "known"),
    [
        ({"type": "object", "properties": {"text": {}, "id": {}}}, {"text"}),
        ({"$ref": "#/components/schemas/Real"}, {"text", "json_output"}),
        ({"type": "object"}, set()),
        ({"type": "array", "items": {"type": "string"}}, set()),
        ({"type": "string", "properties": {"text": {}}}, set()),
        (None, set()),
    ],
)
def test_an_output_may_be_an_object_with_text(output: Any, known: set[str]) -> None:
    real = {"type": "object", "properties": {"text": {}, "json_output": {}}}

    assert schema_of({}, output, Real=real).output_fields == known
