"""Errors under /v1: OpenAI's envelope, statuses and words, and who may try again."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fastapi import FastAPI

from llamakeep import errors
from llamakeep.api.openai.answering import events
from llamakeep.api.openai.forms import ChatCompletion
from llamakeep.api.prompts.canceling import CancelOnDisconnect
from llamakeep.engine import Delta, Position, Reset, Update
from llamakeep.errors import (
    LlamaKeepError,
    PromptRejected,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, STREAM, error
from tests.api.openai.client import events as events_of
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}


def said(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "Hi"}, "messages", "invalid_value"),
        (said("Hi"), "messages[0]", "invalid_value"),
        (said({"content": "Hi"}), "messages[0].role", "invalid_value"),
        (
            said({"role": "owner", "content": "Hi"}),
            "messages[0].role",
            "invalid_value",
        ),
        (said({"role": {}, "content": "Hi"}), "messages[0].role", "invalid_value"),
        (said({"role": "user"}), "messages[0].content", "invalid_value"),
        (
            said({"role": "user", "content": " "}),
            "messages[0].content",
            "invalid_value",
        ),
        (
            said({"role": "user", "content": "a\0"}),
            "messages[0].content",
            "invalid_value",
        ),
        (said({"role": "user", "content": []}), "messages[0].content", "invalid_value"),
        (
            said({"role": "user", "content": ["Hi"]}),
            "messages[0].content[0]",
            "invalid_value",
        ),
        (
            said({"role": "user", "content": [{"type": "text"}]}),
            "messages[0].content[0].text",
            "invalid_value",
        ),
        (
            said({"role": "user", "content": [SOUND]}),
            "messages[0].content[0]",
            "unsupported_parameter",
        ),
        (
            said({"role": "tool", "content": "5", "tool_call_id": "x"}),
            "messages[0].tool_call_id",
            "invalid_value",
        ),
        (
            said({"role": "user", "content": "Hi", "name": 5}),
            "messages[0].name",
            "invalid_value",
        ),
        (
            said(*HI["messages"], {"role": "assistant", "content": "Well,"}),
            "messages[1].role",
            "unsupported_parameter",
        ),
        (HI | {"top": 1}, "top", "unknown_parameter"),
        (HI | {"temperature": 2.5}, "temperature", "invalid_value"),
        (HI | {"stop": ["a", ""]}, "stop[1]", "invalid_value"),
        (HI | {"stop": 5}, "stop", "invalid_value"),
        (HI | {"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", None),
        (HI | {"stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
        (HI | {"response_format": {"type": "xml"}}, "response_format.type", None),
        (
            HI | {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            None,
        ),
        (
            HI | {"response_format": {"type": "json_object", "x": "\ud800"}},
            "response_format",
            None,
        ),
        (HI | {"metadata": {"a": 5}}, "metadata.a", "invalid_value"),
    ],
)
async def test_what_is_wrong_is_named_as_openai_names_it(
    shared_client: Client, body: dict[str, Any], param: str, code: str | None
) -> None:
    response = await shared_client.post(
        CHAT, content=json.dumps(body), headers={"content-type": "application/json"}
    )

    found = error(response)
    assert response.status_code == 400
    assert found["type"] == "invalid_request_error"
    assert (found["param"], found["code"]) == (param, code or "invalid_value")
    assert found["message"]
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
    ],
)
async def test_what_nobody_here_can_do_is_refused_by_name(
    shared_client: Client, parameter: str, value: object
) -> None:
    response = await shared_client.post(CHAT, json=HI | {parameter: value})

    found = error(response)
    assert response.status_code == 400
    assert (found["param"], found["code"]) == (parameter, "unsupported_parameter")
    assert f"'{parameter}'" in found["message"]
    assert await shared_client.history() == []


async def test_what_the_model_cannot_honour_is_refused_by_name(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(unsupported=frozenset({"response_format"}))

    async with connect(settings, provider) as client:
        response = await client.post(
            CHAT, json=HI | {"response_format": {"type": "json_object"}}
        )
        kept = await client.history()

    found = error(response)
    assert response.status_code == 400
    assert found["param"] == "response_format"
    assert found["code"] == "unsupported_parameter"
    assert (provider.requests, kept) == ([], [])


async def test_a_model_that_nobody_serves_is_not_found(client: Client) -> None:
    response = await client.post(CHAT, json=HI | {"model": "gpt-5"})

    found = error(response)
    assert response.status_code == 404
    assert (found["param"], found["code"]) == ("model", "model_not_found")
    assert "'gpt-5'" in found["message"]


async def test_a_body_that_is_not_json_is_a_400(client: Client) -> None:
    response = await client.post(
        CHAT, content=b"{", headers={"content-type": "application/json"}
    )

    assert response.status_code == 400
    assert error(response)["code"] == "malformed_body"


async def test_a_body_that_is_too_large_is_a_413(client: Client) -> None:
    response = await client.post(
        CHAT, json=said({"role": "user", "content": "x" * 2_000_000})
    )

    assert response.status_code == 413
    assert error(response)["type"] == "invalid_request_error"


async def test_an_api_key_that_is_not_valid_is_a_401(client: Client) -> None:
    response = await client.post(CHAT, json=HI, headers={"Authorization": "Bearer sk"})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error(response)["code"] == "invalid_api_key"


async def test_a_path_that_does_not_exist_is_a_404(client: Client) -> None:
    response = await client.post("/v1/moderations", json={})

    assert response.status_code == 404
    assert error(response)["code"] == "unknown_url"


@pytest.mark.parametrize("given", ["chatcmpl-1", "run_x", "chatcmpl-" + "0" * 26])
async def test_a_completion_that_is_not_there_is_a_404(
    shared_client: Client, given: str
) -> None:
    response = await shared_client.get(f"{CHAT}/{given}")

    assert response.status_code == 404
    assert error(response)["code"] == "run_not_found"


async def test_a_key_that_was_used_for_another_request_is_a_422(client: Client) -> None:
    key = {"Idempotency-Key": "0b5e-7"}
    await client.post(CHAT, json=HI, headers=key)

    response = await client.post(CHAT, json=HI | {"seed": 1}, headers=key)

    assert response.status_code == 422
    assert error(response)["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("body", [HI, STREAM])
@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (PromptRejected(), (400, "invalid_request_error", "prompt_rejected")),
        (
            errors.ContextLengthExceeded(),
            (400, "invalid_request_error", "context_length_exceeded"),
        ),
        (
            errors.ContentFiltered(),
            (400, "invalid_request_error", "content_filter"),
        ),
        (errors.ModelNotFound(), (404, "invalid_request_error", "model_not_found")),
        (ProviderUnavailable(), (503, "server_error", "provider_unavailable")),
        (ProviderTimeout(), (504, "server_error", "provider_timeout")),
    ],
)
async def test_a_run_that_was_kept_and_failed_is_not_asked_for_again_by_itself(
    settings: Settings,
    body: dict[str, Any],
    refusal: LlamaKeepError,
    expected: tuple[int, str, str],
) -> None:
    async with connect(settings, ScriptedProvider(refusal=refusal)) as client:
        response = await client.post(CHAT, json=body)
        [kept] = await client.history()

    found = error(response)
    assert (response.status_code, found["type"], found["code"]) == expected
    assert response.headers["x-should-retry"] == "false"
    assert f"/history/{kept['id']}." in found["message"]


@pytest.mark.parametrize("body", [HI, STREAM])
async def test_what_a_provider_says_of_a_rejection_is_handed_on(
    settings: Settings, body: dict[str, Any]
) -> None:
    refusal = PromptRejected(param="temperature", provider_code="unsupported_value")

    async with connect(settings, ScriptedProvider(refusal=refusal)) as client:
        found = error(await client.post(CHAT, json=body))

    assert (found["param"], found["code"]) == ("temperature", "unsupported_value")


@pytest.mark.parametrize("body", [HI, STREAM])
async def test_a_model_that_its_provider_does_not_have_is_the_parameter_at_fault(
    settings: Settings, body: dict[str, Any]
) -> None:
    provider = ScriptedProvider(refusal=errors.ModelNotFound())

    async with connect(settings, provider) as client:
        found = error(await client.post(CHAT, json=body))

    assert found["param"] == "model"


@pytest.mark.parametrize("path", ["/prompt/", CHAT])
@pytest.mark.parametrize("kind", [ProviderRateLimited, ProviderUnavailable])
@pytest.mark.parametrize("stream", [False, True])
async def test_when_a_provider_may_be_asked_again_is_handed_on(
    settings: Settings, kind: type[LlamaKeepError], path: str, *, stream: bool
) -> None:
    provider = ScriptedProvider(refusal=kind("Later.", retry_after=6.5))

    async with connect(settings, provider) as client:
        body = {"prompt": "Hi"} if path == "/prompt/" else HI
        response = await client.post(path, json=body | {"stream": stream})

    assert response.headers["retry-after"] == "7"


async def test_a_provider_that_wants_us_to_wait_may_be_asked_again(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(refusal=ProviderRateLimited())

    async with connect(settings, provider) as client:
        response = await client.post(CHAT, json=HI)

    assert response.status_code == 429
    assert "x-should-retry" not in response.headers
    assert error(response)["code"] == "rate_limit_exceeded"


async def test_a_run_that_somebody_cancels_is_a_409_and_not_asked_for_again(
    settings: Settings,
) -> None:
    provider = ScriptedProvider([asyncio.Event()])
    async with connect(settings, provider) as client:
        waiting = asyncio.create_task(client.post(CHAT, json=HI))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if provider.requests:
                break
        await client.post(f"/history/{provider.requests[0].run_id}/cancel")

        response = await waiting

    assert response.status_code == 409
    assert response.headers["x-should-retry"] == "false"
    assert error(response)["code"] == "run_canceled"


async def test_a_stream_that_fails_midway_ends_with_an_error_event(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Well, ", ProviderUnavailable("It broke off.")])

    async with connect(settings, provider) as client:
        *chunks, last = events_of(await client.post(CHAT, json=STREAM))
        [kept] = await client.history()

    assert chunks[1]["choices"][0]["delta"] == {"content": "Well, "}
    assert last == {
        "error": {
            "message": f"It broke off. See /history/{kept['id']}.",
            "type": "server_error",
            "param": None,
            "code": "provider_unavailable",
        }
    }


async def test_text_that_begins_anew_ends_the_stream_and_says_where_it_is(
    client: Client,
) -> None:
    alice = await client.alice()
    await client.post(CHAT, json=HI)
    [run] = await client.storage.history(alice)

    async def updates() -> AsyncGenerator[Update, None]:
        yield Delta("Once upon", Position(9, 1))
        yield Reset("It was", Position(6, 2))

    leaving = CancelOnDisconnect(client.engine, alice, run, may_come_back=False)
    told = events(updates(), run, ChatCompletion(run), leaving, prefix="")
    frames = [one async for one in told]

    assert b'"Once upon"' in frames[1]
    assert b"It was" not in b"".join(frames)
    assert f"/history/{run.id}" in frames[-1].decode()
    assert not leaving.is_watching  # the run goes on: its text is still wanted


def add_failure(app: FastAPI, failure: LlamaKeepError) -> None:
    @app.get("/v1/fail")
    async def fail() -> None:
        raise failure


async def test_who_may_try_again_is_told_when(client: Client) -> None:
    add_failure(client.app, errors.ServerBusy("Full.", retry_after=1.1))

    response = await client.get("/v1/fail")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert "x-should-retry" not in response.headers
    assert error(response) == {
        "message": "Full.",
        "type": "server_error",
        "param": None,
        "code": "server_busy",
    }
