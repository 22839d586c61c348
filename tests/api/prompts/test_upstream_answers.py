"""Every way in which an OpenAI-compatible server may answer, as clients see it."""

from collections.abc import AsyncIterator

import pytest

from llamakeep import errors
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, error
from tests.api.serving import Client, connect
from tests.providers.misbehaving import misbehaving, ways
from tests.providers.test_misbehaving import FAILURES, OTHER_TEXTS, PAUSES

ANSWERED = sorted(ways().keys() - FAILURES.keys())
EARLY = {name for name, (_, text, _) in FAILURES.items() if not text}
"""Failures before the first word."""
V1 = {
    errors.PromptRejected: 400,
    errors.ContextLengthExceeded: 400,
    errors.ContentFiltered: 400,
    errors.ProviderRateLimited: 429,
}
"""The statuses on `/v1` that differ from those of our own API."""


@pytest.fixture
async def upstream(settings: Settings) -> AsyncIterator[Client]:
    async with (
        misbehaving() as base_url,
        connect(settings, OpenAIProvider(base_url, api_key="s3cr3t-key")) as client,
    ):
        yield client


@pytest.mark.slow
async def test_what_was_answered_is_the_response(upstream: Client) -> None:
    for name in ANSWERED:
        text, reason = OTHER_TEXTS.get(name, ("Hello world", "stop"))
        asked = {"prompt": "Hi", "model": f"openai:{name}"}

        response = await upstream.post("/prompt/", json=asked)
        [newest, *_] = await upstream.history()

        assert response.status_code == 200, (name, response.text)
        assert response.json()["response"] == text, name
        assert newest["response"] == text, name
        if name in OTHER_TEXTS:
            assert newest["finish_reason"] == reason, name


@pytest.mark.slow
async def test_what_was_answered_is_the_content_streamed_or_not(
    upstream: Client,
) -> None:
    for name in ANSWERED:
        text, reason = OTHER_TEXTS.get(name, ("Hello world", "stop"))
        asked = HI | {"model": f"openai:{name}"}

        whole = (await upstream.post(CHAT, json=asked)).json()["choices"][0]
        streamed = await upstream.post(CHAT, json=asked | {"stream": True})

        message = whole["message"]
        said = [message[field] for field in ("content", "refusal") if message[field]]
        assert "".join(said) == text, name
        by_itself = "tool_calls" if message.get("tool_calls") else "stop"
        expected = reason if reason in {"length", "content_filter"} else by_itself
        assert whole["finish_reason"] == expected, name
        assert streamed.text.endswith("data: [DONE]\n\n"), name


@pytest.mark.slow
async def test_what_failed_is_kept_with_its_text_and_reason(upstream: Client) -> None:
    for name, (kind, text, detail) in FAILURES.items():
        asked = {"prompt": "Hi", "model": f"openai:{name}"}

        response = await upstream.post("/prompt/", json=asked)
        [newest, *_] = await upstream.history()

        assert response.status_code == kind.status, (name, response.text)
        assert detail in response.json()["detail"], name
        assert (newest["status"], newest["response"]) == ("failed", text), name
        assert newest["error"]["type"] == kind.code, name
        pause = PAUSES.get(name)
        expected = None if pause is None else f"{-(-pause // 1):.0f}"
        if name != "limited date":
            assert response.headers.get("retry-after") == expected, name


@pytest.mark.slow
async def test_what_failed_has_the_status_that_openais_clients_know(
    upstream: Client,
) -> None:
    for name, (kind, _, detail) in FAILURES.items():
        asked = HI | {"model": f"openai:{name}"}

        response = await upstream.post(CHAT, json=asked)

        assert response.status_code == V1.get(kind, kind.status), name
        assert detail.rstrip(".") in error(response)["message"], name


@pytest.mark.slow
async def test_a_stream_that_fails_ends_with_the_reason(upstream: Client) -> None:
    for name, (_, _, detail) in FAILURES.items():
        asked = HI | {"model": f"openai:{name}", "stream": True}

        response = await upstream.post(CHAT, json=asked)

        if response.status_code == 200:
            assert '"error":' in response.text, name
            assert "[DONE]" not in response.text, name
        else:
            assert name in EARLY
        said = response.text.replace('\\"', '"')
        assert detail.rstrip(".") in said, name


@pytest.mark.parametrize(
    ("name", "code", "param"),
    [
        ("context", "context_length_exceeded", "messages"),
        ("context 500", "context_length_exceeded", None),
        ("context in a stream", "context_length_exceeded", None),
        ("filtered", "content_filter", "prompt"),
        ("rejected", "unsupported_value", "temperature"),
        ("no model", "model_not_found", "model"),
        ("limited", "rate_limit_exceeded", None),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/responses"])
async def test_the_code_and_the_parameter_are_handed_on(
    upstream: Client, path: str, name: str, code: str, param: str | None
) -> None:
    said = {CHAT: HI, "/v1/completions": {"prompt": "Hi"}}.get(path, {"input": "Hi"})

    response = await upstream.post(path, json=said | {"model": f"openai:{name}"})

    found = error(response)
    assert (found["code"], found["param"]) == (code, param)
