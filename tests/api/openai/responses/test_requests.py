"""OpenAI's Responses API: what may be asked for."""

from typing import Any

import pytest

from llamakeep.domain import Parameters
from llamakeep.settings import Settings
from tests.api.openai.responding import NOBODYS, ask, refusal, said
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


async def test_items_of_all_roles_and_forms_reach_the_model(
    client: Client, provider: ScriptedProvider
) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": "One?"},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "Two",
                    "annotations": [],
                    "logprobs": [],
                }
            ],
        },
        {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Three?"}]},
    ]

    await ask(client, items, instructions="Speak.")

    assert said(provider) == [
        ("system", "Speak."),
        ("system", "Be brief."),
        ("user", "One?"),
        ("assistant", "Two"),
        ("system", "Be kind."),
        ("user", "Three?"),
    ]


async def test_items_may_be_named_instead_of_sent_again(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await ask(client, "Why?")
    listed = await client.get(f"/v1/responses/{first['id']}/input_items")
    prompt, answer = listed.json()["data"][0], first["output"][0]

    await ask(
        client,
        [
            {"type": "item_reference", "id": prompt["id"]},
            {"id": answer["id"]},
            {"role": "user", "content": "Really?"},
        ],
    )

    assert said(provider) == [
        ("user", "Why?"),
        ("assistant", "Hello, world"),
        ("user", "Really?"),
    ]


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([{"type": "item_reference", "id": "x"}], "input[0].id"),
        ([{"type": "item_reference"}], "input[0].id"),
        ([{"id": NOBODYS.replace("resp", "msg")}], "input[0].id"),
        ([{"type": "item_reference", "id": "x"}] * 101, "input"),
    ],
)
async def test_an_item_that_is_not_there_is_refused(
    client: Client, items: list[Any], param: str
) -> None:
    error = await refusal(client, {"input": items})

    assert (error["param"], error["code"]) == (param, "invalid_value")


async def test_somebody_elses_items_cannot_be_named(client: Client) -> None:
    bobs = await client.post("/v1/responses", json={"input": "Psst"}, headers=BOB)
    item_id = bobs.json()["output"][0]["id"]
    nobodys = NOBODYS.replace("resp", "msg")
    prompt = {"role": "user", "content": "And?"}

    theirs = await refusal(client, {"input": [{"id": item_id}, prompt]})
    unknown = await refusal(client, {"input": [{"id": nobodys}, prompt]})

    assert theirs == unknown


async def test_parameters_reach_the_model_and_come_back(
    client: Client, provider: ScriptedProvider
) -> None:
    text = {
        "format": {
            "type": "json_schema",
            "name": "answer",
            "schema": SCHEMA,
            "strict": True,
        }
    }

    response = await ask(
        client, max_output_tokens=9, temperature=0.5, top_p=0.9, text=text
    )

    assert provider.requests[0].parameters == Parameters(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    )
    assert response["max_output_tokens"] == 9
    assert (response["temperature"], response["top_p"]) == (0.5, 0.9)
    assert response["text"] == text | {"verbosity": "medium"}


async def test_a_json_object_can_be_asked_for(
    client: Client, provider: ScriptedProvider
) -> None:
    response = await ask(client, text={"format": {"type": "json_object"}})

    given = provider.requests[0].parameters.response_format
    assert given == {"type": "json_object"}
    assert response["text"]["format"] == {"type": "json_object"}


async def test_a_form_that_the_model_cannot_honour_is_refused(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(unsupported=frozenset({"response_format"}))

    async with connect(settings, provider) as client:
        error = await refusal(client, {"text": {"format": {"type": "json_object"}}})

    assert error["code"] == "unsupported_parameter"
    assert provider.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {
            "store": True,
            "user": "u",
            "safety_identifier": "s",
            "prompt_cache_key": "k",
            "parallel_tool_calls": False,
            "max_tool_calls": 3,
            "service_tier": "auto",
            "truncation": "disabled",
        },
        {
            "tools": [],
            "tool_choice": "auto",
            "include": ["web_search_call.results"],
            "top_logprobs": 0,
            "reasoning": {
                "effort": None,
                "summary": "detailed",
                "context": "current_turn",
                "mode": "standard",
            },
            "client_metadata": {"session": "1"},
            "truncation": "auto",
            "service_tier": "flex",
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "stream_options": {"include_obfuscation": False},
        },
        dict.fromkeys(
            (
                "model",
                "instructions",
                "previous_response_id",
                "conversation",
                "max_output_tokens",
                "temperature",
                "top_p",
                "text",
                "metadata",
                "stream",
                "background",
                "store",
                "tools",
                "prompt",
                "reasoning",
            )
        ),
    ],
)
async def test_what_asks_for_nothing_special_is_accepted(
    client: Client, fields: dict[str, Any]
) -> None:
    response = await ask(client, **fields)

    assert response["status"] == "completed"
    assert response["store"] is True


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"include": ["message.audio"]}, "include"),
        ({"reasoning": {"summary": "concise"}}, "reasoning.summary"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0]",
        ),
        (
            {"input": [{"role": "user", "content": "Hi", "audio": "x"}]},
            "input[0].audio",
        ),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"role": "assistant", "content": "Hi"}]}, "input[0].role"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    shared_client: Client, fields: dict[str, Any], param: str
) -> None:
    error = await refusal(shared_client, fields)

    assert error["param"] == param
    assert error["code"] == "unsupported_parameter"
    assert error["type"] == "invalid_request_error"
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": "  "}, "input"),
        ({"input": "\0"}, "input"),
        ({"input": []}, "input"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "robot", "content": "Hi"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": " "}]}, "input[0].content"),
        ({"instructions": "\ud800"}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"conversation": {"id": 5}}, "conversation"),
        ({"conversation": {"id": "conv_1", "more": 1}}, "conversation"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "n",
                        "schema": {"title": "\0"},
                    }
                }
            },
            "text.format.schema",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    shared_client: Client, fields: dict[str, Any], param: str
) -> None:
    error = await refusal(shared_client, fields)

    assert error["param"] == param
    assert error["code"] == "invalid_value"
    assert await shared_client.history() == []


async def test_a_parameter_that_does_not_exist_is_refused(
    shared_client: Client,
) -> None:
    error = await refusal(shared_client, {"messages": []})

    assert (error["param"], error["code"]) == ("messages", "unknown_parameter")


async def test_a_schema_may_speak_of_nul_characters(client: Client) -> None:
    schema = {"type": "string", "pattern": "^[^\\u0000]*$"}
    form = {"type": "json_schema", "name": "n", "schema": schema}

    response = await ask(client, text={"format": form})

    assert response["text"]["format"]["schema"] == schema
