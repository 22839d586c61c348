"""Errors under /v1/messages: Anthropic's envelope, statuses and types."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fastapi import FastAPI

from llamakeep import errors
from llamakeep.api.anthropic.events import events as encoded_events
from llamakeep.api.anthropic.rendering import Shown
from llamakeep.api.prompts.canceling import CancelOnDisconnect
from llamakeep.engine import Delta, Position, Reset, Update
from llamakeep.errors import LlamaKeepError
from llamakeep.settings import Settings
from tests.api.anthropic.client import HI, MESSAGES, STREAM, error, events
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

USER = {"role": "user", "content": "Hi"}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "5"}
TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
DOCUMENT = {"type": "document", "source": {"type": "url", "url": "https://a.example/"}}


def said(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def by_user(*blocks: Any) -> dict[str, Any]:
    return said({"role": "user", "content": list(blocks)})


def after_call(*blocks: Any, calls: Any = (CALL,)) -> dict[str, Any]:
    return said(
        USER,
        {"role": "assistant", "content": list(calls)},
        {"role": "user", "content": list(blocks)},
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": None}, "max_tokens: It has to be a whole number."),
        ({"max_tokens": 0}, "max_tokens: It has to be at least 1."),
        ({"messages": []}, "messages: "),
        (said("Hi"), "messages.0: "),
        (said({"role": "owner", "content": "Hi"}), "messages.0.role: "),
        (said({"role": {}, "content": "Hi"}), "messages.0.role: "),
        (said({"role": "user"}), "messages.0.content: "),
        (said({"role": "user", "content": " "}), "messages.0.content: "),
        (said({"role": "user", "content": []}), "messages.0.content: "),
        (said({"role": "user", "content": "a\0"}), "messages.0.content: "),
        (said(USER | {"id": "x"}), "messages.0: "),
        (by_user("Hi"), "messages.0.content.0: "),
        (by_user({"type": "text"}), "messages.0.content.0.text: "),
        (by_user({"type": "text", "text": "a", "b": 1}), "messages.0.content.0: "),
        (
            by_user(DOCUMENT),
            "messages.0.content.0.source: documents are read here if they are text.",
        ),
        (
            by_user(DOCUMENT | {"source": {"type": "text"}}),
            "messages.0.content.0.source.data: ",
        ),
        (
            by_user({"type": "search_result", "source": 5, "title": "a"}),
            "messages.0.content.0.content: ",
        ),
        (by_user(CALL), "messages.0.content.0: "),
        (by_user({"type": "image"}), "messages.0.content.0.source: "),
        (
            by_user({"type": "image", "source": {"type": "file", "file_id": "f"}}),
            "messages.0.content.0.source: no files are kept here.",
        ),
        (
            by_user({"type": "image", "source": {"type": "base64", "data": "?"}}),
            "messages.0.content.0.source.data: It is not valid base64.",
        ),
        (
            by_user({"type": "image", "source": {"type": "url", "url": "http://a.b"}}),
            "messages.0.content.0.source.url: It has to be an `https:` URL",
        ),
        (by_user(RESULT), "messages.0.content.0.tool_use_id: There is no call 'a'"),
        (
            after_call({"type": "text", "text": "Hi"}, RESULT),
            "messages.1.content: `tool_use` ids were found without `tool_result` blo",
        ),
        (after_call(RESULT, RESULT), "messages.2.content.1.tool_use_id: The call 'a'"),
        (after_call(RESULT, calls=(CALL, CALL)), "messages.1.content.1.id: "),
        (
            after_call(RESULT, calls=(CALL, CALL | {"id": "b"})),
            "messages.1.content: `tool_use` ids were found without",
        ),
        (after_call(RESULT, calls=(CALL | {"input": "{}"},)), "messages.1.content.0."),
        (
            after_call(RESULT | {"is_error": "yes"}),
            "messages.2.content.0.is_error: It has to be true or false.",
        ),
        (
            after_call(RESULT | {"content": [DOCUMENT]}),
            "messages.2.content.0.content.0.source: ",
        ),
        (
            after_call(RESULT | {"content": [{"type": "tool_reference"}]}),
            "messages.2.content.0.content.0: no model here reads a block of the type",
        ),
        (
            said(USER, {"role": "assistant", "content": "I"}),
            "messages.1.role: The last message is the assistant's, and scripted:parrot",
        ),
        (
            said(USER, {"role": "assistant", "content": [RESULT]}, USER),
            "messages.1.content.0: ",
        ),
        ({"system": [DOCUMENT]}, "system.0: "),
        ({"system": 5}, "system: "),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools.0: "),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema: "),
        ({"tools": [TOOL | {"name": "a b"}]}, "tools.0.name: "),
        ({"tools": [TOOL, TOOL]}, "tools.1.name: tools.0 has this name, too."),
        ({"tools": [TOOL] * 129}, "tools: There are 129; 128 are possible."),
        ({"tools": [TOOL | {"strict": 1}]}, "tools.0.strict: "),
        ({"tools": [TOOL | {"code": 1}]}, "tools.0.code: There is no such field."),
        ({"tools": [TOOL | {"defer_loading": True}]}, "tools.0.defer_loading: "),
        ({"tools": [5]}, "tools.0: "),
        ({"tool_choice": "auto"}, "tool_choice.type: "),
        ({"tool_choice": {"type": "any"}}, "tool_choice: There are no `tools`"),
        ({"tool_choice": {"type": "auto", "name": "f"}}, "tool_choice.name: "),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
            "tool_choice.name: No tool of the request has the name 'g'.",
        ),
        (
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}},
            "tool_choice.disable_parallel_tool_use: ",
        ),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: "),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens: "),
        ({"thinking": {"type": "deep"}}, "thinking.type: "),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format: "),
        (
            {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            "This server cannot honour 'context_management'.",
        ),
        (
            {"context_management": {"edits": ["x"]}},
            "This server cannot honour 'context",
        ),
        ({"speed": "fast"}, "This server cannot honour 'speed'."),
        ({"container": "c"}, "This server cannot honour 'container'."),
        ({"thread": {"type": "create"}}, "This server cannot honour 'thread'."),
        ({"mcp_servers": [{}]}, "This server cannot honour 'mcp_servers'."),
        ({"n": 2}, "n: There is no such field. Leave it out."),
        ({"metadata": {"user": "a"}}, "metadata.user: There is no such field."),
        ({"stop_sequences": [""]}, "stop_sequences.0: "),
        ({"model": "none"}, "No provider here serves the model 'none'"),
    ],
)
async def test_bad_requests_are_refused_with_their_place(
    shared_client: Client, fields: dict[str, Any], message: str
) -> None:
    response = await shared_client.post(MESSAGES, json=HI | fields)

    found = error(response)
    assert found["message"].startswith(message), found["message"]
    if "model" in fields:
        assert (response.status_code, found["type"]) == (404, "not_found_error")
    else:
        assert (response.status_code, found["type"]) == (400, "invalid_request_error")
    assert await shared_client.history() == []


async def test_max_tokens_is_required(shared_client: Client) -> None:
    response = await shared_client.post(MESSAGES, json={"messages": [USER]})

    assert response.status_code == 400
    assert error(response)["message"] == "max_tokens: This field is required."


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", MESSAGES, 405, "invalid_request_error"),
        ("POST", f"{MESSAGES}/batches", 404, "not_found_error"),
        ("GET", f"{MESSAGES}/msg_1", 404, "not_found_error"),
        ("GET", "/v1/files", 404, "not_found_error"),
    ],
)
async def test_what_is_not_there_has_the_envelope(
    shared_client: Client, method: str, path: str, status: int, kind: str
) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    response = await shared_client.request(method, path, headers=headers)

    assert response.status_code == status
    assert error(response)["type"] == kind


async def test_no_json_and_too_much_of_it_have_the_envelope(client: Client) -> None:
    settings = client.services.settings
    headers = {"Content-Type": "application/json"}
    large = b" " * (int(settings.max_body_size) + 1)

    broken = await client.post(MESSAGES, content=b"{", headers=headers)
    too_large = await client.post(MESSAGES, content=large, headers=headers)

    assert (broken.status_code, too_large.status_code) == (400, 413)
    assert error(broken)["type"] == "invalid_request_error"
    assert error(too_large)["type"] == "request_too_large"


async def test_without_a_key_it_is_an_authentication_error(client: Client) -> None:
    del client.headers["Authorization"]
    version = {"anthropic-version": "2023-06-01"}

    asked = await client.post(MESSAGES, json=HI)
    listed = await client.get("/v1/models", headers=version)
    listed_elsewhere = await client.get("/v1/models")

    assert asked.status_code == listed.status_code == 401
    assert error(asked)["type"] == error(listed)["type"] == "authentication_error"
    assert listed_elsewhere.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "is_final"),
    [
        (errors.PromptRejected("No."), 400, "invalid_request_error", True),
        (errors.ContextLengthExceeded(), 400, "invalid_request_error", True),
        (errors.ProviderRateLimited(retry_after=7), 429, "rate_limit_error", False),
        (errors.ProviderUnavailable("Down."), 503, "api_error", True),
        (errors.ProviderUnauthenticated(), 502, "api_error", True),
        (errors.ProviderTimeout("Slow."), 504, "timeout_error", True),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_errors_before_the_first_word_have_a_status(
    settings: Settings,
    refusal: LlamaKeepError,
    status: int,
    kind: str,
    *,
    is_final: bool,
    is_streamed: bool,
) -> None:
    async with connect(settings, ScriptedProvider(refusal=refusal)) as client:
        response = await client.post(MESSAGES, json=HI | {"stream": is_streamed})
        [run] = await client.history()

    found = error(response)
    assert (response.status_code, found["type"]) == (status, kind)
    assert found["message"].endswith(f"See /history/{run['id']}.")
    assert response.headers.get("x-should-retry") == ("false" if is_final else None)


async def test_a_full_server_is_overloaded(settings: Settings) -> None:
    crowded = settings.model_copy(update={"max_running": 1, "max_queued": 0})
    held = asyncio.Event()
    async with connect(crowded, ScriptedProvider([held, "Hi"])) as client:
        await client.begin()
        response = await client.post(MESSAGES, json=HI)
        held.set()

    assert response.status_code == 529
    assert error(response)["type"] == "overloaded_error"
    assert response.headers["retry-after"] == "1"


async def test_a_stream_that_fails_midway_ends_with_an_error_event(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Hel", errors.ProviderUnavailable("Gone.")])
    async with connect(settings, provider) as client:
        response = await client.post(MESSAGES, json=STREAM)
        [run] = await client.history()

    *before, last = events(response)
    assert before[-1]["delta"] == {"type": "text_delta", "text": "Hel"}
    assert last == {
        "type": "error",
        "error": {"type": "api_error", "message": f"Gone. See /history/{run['id']}."},
        "request_id": response.headers["request-id"],
    }


async def test_a_text_that_is_begun_anew_ends_the_stream(client: Client) -> None:
    message = (await client.post(MESSAGES, json=HI)).json()
    alice = await client.alice()
    run = await client.storage.get_run(alice, message["id"].replace("msg_", "run_"))

    async def updates() -> AsyncGenerator[Update, None]:
        yield Delta("Hel", Position(3, 1))
        yield Reset("Bye", Position(3, 2))

    leaving = CancelOnDisconnect(client.engine, alice, run, may_come_back=False)
    found = encoded_events(
        updates(), run, leaving, shown=Shown(), prefix="", request_id="req_1"
    )
    frames = [frame async for frame in found]

    assert frames[-1].startswith(b'event: error\ndata: {"type":"error"')
    assert b"begin the answer again" in frames[-1]
    assert not leaving.is_watching


async def test_a_client_that_leaves_cancels_its_run(
    client: Client, provider: ScriptedProvider
) -> None:
    held = asyncio.Event()
    provider.script = ["Hello", held]
    app: FastAPI = client.app
    leaving = asyncio.Event()
    said = asyncio.Event()
    body = client.build_request("POST", MESSAGES, json=STREAM)
    received = [{"type": "http.request", "body": body.content}]

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop()
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b"Hello" in message.get("body", b""):
            said.set()

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": MESSAGES,
        "query_string": b"",
        "headers": [(k.lower(), v) for k, v in body.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    task = asyncio.create_task(app(scope, receive, send))
    await said.wait()
    leaving.set()
    await task

    [run] = await client.history()
    assert (run["status"], run["response"]) == ("canceled", "Hello")
    assert provider.closed_early == 1
