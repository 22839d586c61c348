"""What an OpenAI-compatible server says beside text, at clients and in the history."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, events
from tests.api.serving import Client, connect
from tests.providers.asking import asked
from tests.providers.stub_server import (
    DONE,
    END,
    Line,
    StubServer,
    Then,
    event,
    head,
    usage,
)

FUNCTION = {"name": "get_weather", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
ASKS = {"role": "user", "content": "Is it cold?"}


def delta(finish_reason: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return event({"model": "parrot-2025", "choices": [choice]})


def call(arguments: str, **fields: Any) -> bytes:
    function = {"arguments": arguments, **fields.pop("function", {})}
    return delta(tool_calls=[{"index": 0, "function": function, **fields}])


BEGUN = call("", id="a", type="function", function={"name": "get_weather"})
CALLS = (
    head(),
    delta(role="assistant", reasoning_content="Where"),
    delta(reasoning_content="?"),
    delta(content="I look."),
    BEGUN,
    call('{"city"'),
    call(':"Oslo"}'),
    delta("tool_calls"),
    usage(7, 3),
    DONE,
    END,
)
ANSWERS = (head(), delta(content="It is."), delta("stop"), usage(9, 2), DONE, END)
BROKEN = (head(), BEGUN, call('{"ci'), Then.CLOSE)
OUTPUT = [
    {"type": "reasoning", "text": "Where?"},
    {"type": "text", "text": "I look."},
    {
        "type": "tool_call",
        "call_id": "a",
        "name": "get_weather",
        "text": '{"city":"Oslo"}',
    },
]
CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
}


@asynccontextmanager
async def served(
    settings: Settings, *scripts: Sequence[Line]
) -> AsyncIterator[tuple[StubServer, Client]]:
    """A server whose provider answers with `scripts`, one after the other."""
    async with asked(models=["parrot"]) as (stub, provider):
        stub.scripts.extend(scripts)
        async with connect(settings, provider) as client:
            yield stub, client


async def test_a_tool_loop_reaches_the_server_and_is_kept(settings: Settings) -> None:
    async with served(settings, CALLS, ANSWERS) as (stub, client):
        body = {"messages": [ASKS], "tools": [TOOL]}
        first = (await client.post(CHAT, json=body)).json()
        called = first["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": "a", "content": "-3"}
        body["messages"] = [ASKS, called, result]
        second = (await client.post(CHAT, json=body)).json()
        kept = await client.history()

    assert called["tool_calls"] == [CALL]
    assert (called["content"], called["reasoning_content"]) == ("I look.", "Where?")
    assert first["choices"][0]["finish_reason"] == "tool_calls"
    assert second["choices"][0]["message"]["content"] == "It is."
    assert [heard.json["tools"] for heard in stub.heard] == [[TOOL], [TOOL]]
    assert stub.heard[1].json["messages"] == [
        ASKS,
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
        result,
    ]
    assert [run["output"] for run in kept] == [None, OUTPUT]


async def test_a_stream_has_the_items_as_they_grow(settings: Settings) -> None:
    async with served(settings, CALLS) as (_, client):
        body = {"messages": [ASKS], "tools": [TOOL], "stream": True}
        response = await client.post(CHAT, json=body)
        chunks = events(response, may_be_silent=True)[:-1]

    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    said = "".join([one.get("content") or "" for one in deltas])
    thoughts = "".join([one.get("reasoning_content") or "" for one in deltas])
    calls = [each for one in deltas for each in one.get("tool_calls") or ()]
    arguments = "".join([each["function"]["arguments"] for each in calls])
    assert (thoughts, said, arguments) == ("Where?", "I look.", '{"city":"Oslo"}')
    assert calls[0]["id"] == "a"
    assert calls[0]["function"]["name"] == "get_weather"


async def test_cached_tokens_and_those_of_reasoning_are_kept_and_shown(
    settings: Settings,
) -> None:
    used = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    told = event({"choices": [], "usage": used})
    script = (head(), delta(content="Yes."), delta("stop"), told, DONE, END)
    async with served(settings, script, script, script) as (_, client):
        chat = (await client.post(CHAT, json={"messages": [ASKS]})).json()
        response = (await client.post("/v1/responses", json={"input": "?"})).json()
        message = (
            await client.post(
                "/v1/messages", json={"max_tokens": 9, "messages": [ASKS]}
            )
        ).json()
        [run, *_] = await client.history()

    assert chat["usage"]["prompt_tokens_details"] == {"cached_tokens": 8}
    assert chat["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 8
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 4}
    assert message["usage"]["input_tokens"] == 1
    assert message["usage"]["cache_read_input_tokens"] == 8
    assert (run["usage"]["cached_tokens"], run["usage"]["reasoning_tokens"]) == (8, 4)


async def test_arguments_that_break_off_are_in_the_history(settings: Settings) -> None:
    async with served(settings, BROKEN) as (_, client):
        body = {"messages": [ASKS], "tools": [TOOL]}
        response = await client.post(CHAT, json=body)
        [run] = await client.history()

    assert response.status_code >= 500
    assert run["status"] == "failed"
    assert run["output"] == [
        {"type": "tool_call", "call_id": "a", "name": "get_weather", "text": '{"ci'}
    ]


async def test_a_call_that_was_not_offered_does_not_end_its_conversation(
    settings: Settings,
) -> None:
    async with served(settings, CALLS, ANSWERS) as (stub, client):
        first = (await client.post("/prompt/", json={"prompt": "Hi"})).json()
        more = {"prompt": "So?", "conversation_id": first["conversation_id"]}
        second = (await client.post("/prompt/", json=more)).json()

    assert first["output"] == OUTPUT
    assert second["response"] == "It is."
    assert stub.heard[1].json["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "I look."},
        {"role": "user", "content": "So?"},
    ]
