"""Anthropic's Messages API: what the model is asked, and what comes of its answer."""

import json
from base64 import b64encode
from typing import Any

import pytest

from llamakeep.domain import (
    Image,
    Message,
    Parameters,
    Reasoning,
    Refusal,
    Run,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from llamakeep.domain.messages import message_of
from llamakeep.engine.updates import LONG
from llamakeep.providers.base import Finished, ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.anthropic.client import HI, MESSAGES, STREAM, events, gathered
from tests.api.serving import Client, connect
from tests.fakes import Line, ScriptedProvider
from tests.images import GIF, hash_of

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "get_weather", "description": "Degrees.", "input_schema": SCHEMA}
FUNCTION = {"name": "get_weather", "description": "Degrees.", "parameters": SCHEMA}
ASKS = {"role": "user", "content": "Is it cold?"}
CALL = {
    "type": "tool_use",
    "id": "a",
    "name": "get_weather",
    "input": {"city": "Oslo"},
    "caller": {"type": "direct"},
}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "-3"}
CALLED = ToolCall("a", "get_weather", '{"city": "Oslo"}')
SHOWN: dict[str, Any] = {"thinking": {"type": "adaptive"}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


async def ask(client: Client, **fields: Any) -> dict[str, Any]:
    response = await client.post(MESSAGES, json=HI | fields)
    assert response.status_code == 200, response.text
    assert response.headers["request-id"].startswith("req_")
    found: dict[str, Any] = response.json()
    return found


async def kept(client: Client, message: dict[str, Any]) -> Run:
    """Return the run of a message."""
    alice = await client.alice()
    run_id = message["id"].replace("msg_", "run_")
    return await client.storage.get_run(alice, run_id)


async def test_a_message_is_answered_and_kept(
    client: Client, provider: ScriptedProvider
) -> None:
    message = await ask(client, system="Be brief.", metadata={"user_id": "4711"})

    run = await kept(client, message)
    assert message == {
        "id": run.id.replace("run_", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": "scripted:parrot",
        "content": [{"type": "text", "text": "Hello, world", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": {
            "input_tokens": 7,
            "output_tokens": 3,
            "cache_creation": None,
            "cache_creation_input_tokens": None,
            "cache_read_input_tokens": None,
            "inference_geo": None,
            "output_tokens_details": None,
            "server_tool_use": None,
            "service_tier": "standard",
        },
    }
    assert (run.prompt, run.system_prompt) == ("Hi", "Be brief.")
    assert (run.response, run.end_user) == ("Hello, world", "4711")
    assert provider.requests[0].messages == (
        Message("system", "Be brief."),
        Message("user", "Hi"),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 40,
                "stop_sequences": ["END"],
                "metadata": {"user_id": "4711"},
                "service_tier": "auto",
                "cache_control": {"type": "ephemeral"},
            },
            Parameters(temperature=0.5, top_p=0.9, top_k=40, stop=("END",)),
        ),
        (
            {"tools": [TOOL | {"type": "custom", "cache_control": {}}]},
            Parameters(tools=({"type": "function", "function": FUNCTION},)),
        ),
        (
            {
                "tools": [TOOL | {"strict": True}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            },
            Parameters(
                tools=({"type": "function", "function": FUNCTION | {"strict": True}},),
                tool_choice="required",
                parallel_tool_calls=False,
            ),
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "tool", "name": "get_weather"},
            },
            Parameters(
                tools=({"type": "function", "function": FUNCTION},),
                tool_choice={"type": "function", "function": {"name": "get_weather"}},
            ),
        ),
        ({"tool_choice": {"type": "none"}, "tools": []}, Parameters()),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            Parameters(reasoning_effort="low"),
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 4096}},
            Parameters(reasoning_effort="medium"),
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 32000}},
            Parameters(reasoning_effort="high"),
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            Parameters(reasoning_effort="max"),
        ),
        ({"thinking": {"type": "disabled"}}, Parameters()),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            Parameters(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
                }
            ),
        ),
        (
            {"container": None, "mcp_servers": [], "context_management": {"edits": []}},
            Parameters(),
        ),
        (
            {
                "context_management": {
                    "edits": [{"type": "clear_thinking_20251015", "keep": "all"}]
                },
                "speed": "standard",
            },
            Parameters(),
        ),
    ],
)
async def test_parameters_reach_the_model_as_chat_completions_write_them(
    client: Client,
    provider: ScriptedProvider,
    fields: dict[str, Any],
    expected: Parameters,
) -> None:
    await ask(client, **fields)

    given = provider.requests[0].parameters.given()
    assert given == expected.given() | {"max_tokens": 50}


@pytest.mark.parametrize(
    ("messages", "system", "read"),
    [
        ([ASKS], [text("One."), text("Two.")], [Message("system", "One.\nTwo.")]),
        (
            [{"role": "user", "content": [text("A"), text("b") | {"citations": None}]}],
            "",
            [Message("user", "A\nb")],
        ),
        (
            [
                ASKS,
                {"role": "assistant", "content": [text("I look."), CALL]},
                {"role": "user", "content": [RESULT, text("Well?")]},
            ],
            None,
            [
                Message("user", "Is it cold?"),
                message_of("assistant", [Text("I look."), CALLED]),
                message_of("tool", [ToolResult("a", "-3")]),
                Message("user", "Well?"),
            ],
        ),
        (
            [
                ASKS,
                {"role": "assistant", "content": [CALL, CALL | {"id": "b"}]},
                {"role": "user", "content": [RESULT]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "b",
                            "is_error": True,
                            "content": [text("No"), text("net.")],
                        }
                    ],
                },
            ],
            None,
            [
                Message("user", "Is it cold?"),
                message_of(
                    "assistant", [CALLED, ToolCall("b", "get_weather", CALLED.text)]
                ),
                message_of("tool", [ToolResult("a", "-3")]),
                message_of("tool", [ToolResult("b", "No\nnet.", has_failed=True)]),
            ],
        ),
        (
            [
                ASKS,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                        {"type": "redacted_thinking", "data": "abc"},
                        {"type": "thinking", "thinking": "", "signature": ""},
                        text("Yes."),
                        text(""),
                    ],
                },
                {"role": "system", "content": [text("Now rhyme.")]},
                ASKS,
            ],
            None,
            [
                Message("user", "Is it cold?"),
                message_of(
                    "assistant",
                    [Reasoning("Hm."), Reasoning(sealed="abc"), Text("Yes.")],
                ),
                Message("system", "Now rhyme."),
                Message("user", "Is it cold?"),
            ],
        ),
        (
            [
                ASKS,
                {"role": "assistant", "content": [CALL | {"input": {}}]},
                {"role": "user", "content": [RESULT | {"content": []}]},
                {"role": "assistant", "content": []},
                ASKS,
            ],
            None,
            [
                Message("user", "Is it cold?"),
                message_of("assistant", [ToolCall("a", "get_weather", "{}")]),
                message_of("tool", [ToolResult("a")]),
                Message("assistant", ""),
                Message("user", "Is it cold?"),
            ],
        ),
    ],
)
async def test_messages_reach_the_model_with_all_of_their_parts(
    client: Client,
    provider: ScriptedProvider,
    messages: list[Any],
    system: Any,
    read: list[Message],
) -> None:
    message = await ask(client, messages=messages, system=system)

    expected = read if read[0].role != "system" else [*read, Message(**ASKS)]  # type: ignore[arg-type]
    assert provider.requests[0].messages == tuple(expected)
    run = await kept(client, message)
    last = run.last_message or Message("user", run.prompt)
    assert (*run.prior_messages, last) == tuple(expected[bool(system) :])


async def test_images_reach_the_model_between_texts_and_are_kept(
    client: Client, provider: ScriptedProvider
) -> None:
    data = b64encode(GIF).decode()
    source = {"type": "base64", "media_type": "image/gif", "data": data}
    address = {"type": "url", "url": "https://a.example/b.png"}
    blocks = [
        text("Is this"),
        text("it:"),
        {"type": "image", "source": source, "cache_control": {"type": "ephemeral"}},
        text("or this?"),
        {"type": "image", "source": address},
    ]

    await ask(client, messages=[{"role": "user", "content": blocks}])

    [message] = provider.requests[0].messages
    assert message.parts == (
        Text("Is this\nit:"),
        Image(hash_of(GIF), "image/gif", len(GIF)),
        Text("or this?"),
        Image(url=address["url"]),
    )
    [run] = await client.history()
    kept_image = await client.get(run["last_message"]["parts"][1]["link"])
    assert kept_image.content == GIF


async def test_images_in_a_result_reach_the_model_after_its_text(
    client: Client, provider: ScriptedProvider
) -> None:
    source = {"type": "base64", "data": b64encode(GIF).decode()}
    seen = [text("Before"), {"type": "image", "source": source}, text("after.")]

    await ask(
        client,
        messages=[
            ASKS,
            {"role": "assistant", "content": [CALL]},
            {"role": "user", "content": [RESULT | {"content": seen}, text("Well?")]},
        ],
    )

    assert provider.requests[0].messages[2].parts == (
        ToolResult("a", "Before\nafter."),
        Image(hash_of(GIF), "image/gif", len(GIF)),
    )


async def test_documents_and_search_results_that_are_text_reach_the_model_as_text(
    client: Client, provider: ScriptedProvider
) -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "It is cold."}
    blocks = [
        {"type": "document", "source": plain, "title": "Oslo", "context": "Today."},
        {"type": "document", "source": {"type": "content", "content": [text("-3")]}},
        {
            "type": "search_result",
            "title": "Bergen",
            "source": "https://a.example/",
            "content": [text("It rains."), text("7")],
            "citations": {"enabled": False},
        },
        text("Where is it colder?"),
    ]

    await ask(client, messages=[{"role": "user", "content": blocks}])

    [message] = provider.requests[0].messages
    assert message.content == (
        "Oslo\nToday.\nIt is cold.\n-3\nBergen\nhttps://a.example/\nIt rains.\n7\n"
        "Where is it colder?"
    )


async def test_an_image_alone_is_a_prompt(
    client: Client, provider: ScriptedProvider
) -> None:
    address = {"type": "url", "url": "https://a.example/b.png"}
    blocks = [{"type": "image", "source": address}]

    await ask(client, messages=[{"role": "user", "content": blocks}])

    [message] = provider.requests[0].messages
    assert message.parts == (Image(url=address["url"]),)


async def test_a_failed_result_is_in_the_history_as_one(
    client: Client, provider: ScriptedProvider
) -> None:
    failed = RESULT | {"is_error": True}
    await ask(
        client,
        messages=[
            ASKS,
            {"role": "assistant", "content": [CALL]},
            {"role": "user", "content": [failed]},
        ],
    )

    [run] = await client.history()
    assert run["last_message"]["parts"] == [
        {"type": "tool_result", "call_id": "a", "text": "-3", "has_failed": True}
    ]
    [told] = provider.requests[0].messages[-1].parts
    assert isinstance(told, ToolResult)
    assert told.told == "Error: -3"


THINKS: list[Line] = [
    ItemBegun(Reasoning()),
    ItemText("They "),
    ItemText("greet."),
    ItemBegun(Text()),
    "Hello",
]
THOUGHT = {"type": "thinking", "thinking": "They greet.", "signature": ""}
SAID = {"type": "text", "text": "Hello", "citations": None}
SEALED = Reasoning(sealed='{"extra_content":{}}')
CALLS: list[Line] = [
    "I look.",
    ItemBegun(ToolCall("a", "get_weather")),
    ItemText('{"city":'),
    ItemText('"Oslo"}'),
    ItemBegun(ToolCall("b", "now")),
]
NOW = CALL | {"id": "b", "name": "now", "input": {}}


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("script", "reason", "fields", "content", "stop"),
    [
        (
            CALLS,
            "stop",
            {},
            [SAID | {"text": "I look."}, CALL, NOW],
            "tool_use",
        ),
        (CALLS[1:4], "tool_calls", {}, [CALL], "tool_use"),
        (THINKS, "stop", SHOWN, [THOUGHT, SAID], "end_turn"),
        (
            THINKS,
            "stop",
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            [THOUGHT | {"thinking": ""}, SAID],
            "end_turn",
        ),
        (
            [*THINKS[:3], ItemBegun(SEALED), *CALLS[1:4]],
            "stop",
            {"tools": [TOOL]},
            [{"type": "redacted_thinking", "data": SEALED.sealed}, CALL],
            "tool_use",
        ),
        ([*THINKS[:3], ItemBegun(SEALED), *THINKS[3:]], "stop", {}, [SAID], "end_turn"),
        # Who did not ask for thinking finds the text where it always is.
        (THINKS, "stop", {}, [SAID], "end_turn"),
        (THINKS[:3], "length", {}, [], "max_tokens"),
        (["Hello"], "length", {}, [SAID], "max_tokens"),
        (["Hello"], None, {}, [SAID], "end_turn"),
        ([], "stop", {}, [], "end_turn"),
        (
            [ItemBegun(Refusal()), "I can", "not."],
            "stop",
            {},
            [SAID | {"text": "I cannot."}],
            "refusal",
        ),
        (["Hello"], "content_filter", {}, [SAID], "refusal"),
        (
            [*THINKS, ItemBegun(Refusal()), ItemBegun(Text()), "!"],
            "stop",
            {},
            [SAID, SAID | {"text": "!"}],
            "refusal",
        ),
    ],
)
async def test_an_answer_has_a_block_for_each_item(  # noqa: PLR0917 - its cases
    client: Client,
    provider: ScriptedProvider,
    script: list[Line],
    reason: str | None,
    fields: dict[str, Any],
    content: list[Any],
    stop: str,
    *,
    is_streamed: bool,
) -> None:
    provider.script = script
    provider.finished = Finished(reason, Usage(input_tokens=7, output_tokens=3))

    if is_streamed:
        message = gathered(events(await client.post(MESSAGES, json=STREAM | fields)))
    else:
        message = await ask(client, **fields)

    assert message["content"] == content
    assert message["stop_reason"] == stop
    details = {"type": "refusal", "category": None, "explanation": None}
    assert message["stop_details"] == (details if stop == "refusal" else None)
    usage = message["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 3)


@pytest.mark.parametrize(
    "arguments", ['{"city": "Os', "Oslo", "[1]", "null", '{"a": NaN}', '"\\ud800"']
)
async def test_arguments_that_are_no_object_come_and_go_back_as_they_were_written(
    client: Client, provider: ScriptedProvider, arguments: str
) -> None:
    provider.script = [ItemBegun(ToolCall("a", "now")), ItemText(arguments)]
    message = await ask(client)
    [call] = message["content"]

    await ask(
        client,
        messages=[
            ASKS,
            {"role": "assistant", "content": message["content"]},
            {"role": "user", "content": [RESULT]},
        ],
    )

    assert call["input"] == {"INVALID_JSON": arguments}
    assert provider.requests[1].messages[1].parts == (ToolCall("a", "now", arguments),)


async def test_what_a_provider_does_not_count_is_zero_since_clients_need_a_number(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.finished = Finished("stop", Usage())

    usage = (await ask(client))["usage"]

    assert (usage["input_tokens"], usage["output_tokens"]) == (0, 0)
    [run] = await client.history()
    assert run["usage"]["input_tokens"] is None


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
async def test_a_key_may_be_in_either_header(client: Client, name: str) -> None:
    del client.headers["Authorization"]
    key = "Bearer token_alice" if name == "Authorization" else "token_alice"

    response = await client.post(MESSAGES, json=HI, headers={name: key})

    assert response.status_code == 200


async def test_an_idempotency_key_brings_the_same_message_once_asked(
    client: Client, provider: ScriptedProvider
) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await client.post(MESSAGES, json=HI, headers=headers)
    again = await client.post(MESSAGES, json=HI, headers=headers)
    streamed = await client.post(MESSAGES, json=STREAM, headers=headers)

    assert first.json() == again.json() == gathered(events(streamed))
    assert len(provider.requests) == 1


async def test_a_long_answer_comes_again_whole(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["a" * 1000, "\u00e9" * LONG]
    headers = {"Idempotency-Key": "long"}
    first = await client.post(MESSAGES, json=HI, headers=headers)
    streamed = await client.post(MESSAGES, json=STREAM, headers=headers)

    assert len(first.json()["content"][0]["text"]) == 1000 + LONG
    assert gathered(events(streamed)) == first.json()


async def test_a_provider_without_reasoning_refuses_it_as_the_client_calls_it(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(
        unsupported=frozenset({"reasoning_effort", "response_format", "stop"})
    )
    wanted: list[tuple[dict[str, Any], str]] = [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
        ({"output_config": {"effort": "low"}}, "output_config.effort"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
            "output_config.format",
        ),
        ({"stop_sequences": ["a"]}, "stop_sequences"),
    ]
    async with connect(settings, provider) as client:
        for fields, name in wanted:
            response = await client.post(MESSAGES, json=HI | fields)
            assert response.status_code == 400
            assert f"cannot honour: {name}." in response.json()["error"]["message"]
        assert (await client.post(MESSAGES, json=HI | SHOWN)).status_code == 200


async def test_events_are_anthropics(client: Client) -> None:
    response = await client.post(MESSAGES, json=STREAM)

    found = events(response)
    assert [event["type"] for event in found] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert response.text.count("event: ping\n") == 1
    assert found[2] == {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hello"},
    }
    assert json.dumps(found[-2]["usage"]).count("null") == 4
