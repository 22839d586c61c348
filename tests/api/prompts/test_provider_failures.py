"""Providers that refuse, break off, dawdle or talk nonsense."""

import asyncio

import pytest

from llamakeep import errors
from llamakeep.errors import LlamaKeepError
from llamakeep.settings import Settings
from tests.api.serving import PROMPT, connect
from tests.fakes import ScriptedProvider

FAILURES = [
    (errors.PromptRejected, 422),
    (errors.ProviderError, 502),
    (errors.ProviderUnavailable, 503),
    (errors.ProviderTimeout, 504),
    (errors.ProviderRateLimited, 503),
    (errors.ProviderUnauthenticated, 502),
    (errors.ProviderOutOfCredit, 502),
    (errors.AnswerExpired, 410),
    (errors.ProviderAnswerInvalid, 502),
    (errors.NoProvider, 503),
]
STREAM = PROMPT | {"stream": True}


def ending(failure: type[LlamaKeepError]) -> str:
    return "expired" if failure is errors.AnswerExpired else "failed"


def test_every_provider_error_is_tested_here() -> None:
    known = {failure for failure, _ in FAILURES}

    assert known >= {errors.ProviderError, *errors.walk(errors.ProviderError)}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_a_refusal_has_a_status_and_leaves_a_failed_run(
    settings: Settings, failure: type[LlamaKeepError], status: int, stream: bool
) -> None:
    provider = ScriptedProvider(refusal=failure("It says no."))

    async with connect(settings, provider) as client:
        response = await client.post("/prompt/", json=PROMPT | {"stream": stream})
        [kept] = await client.history()

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": f"urn:llamakeep:problem:{failure.code}",
        "title": failure.title,
        "status": status,
        "detail": "It says no.",
        "run_id": kept["id"],
    }
    assert (kept["status"], kept["response"]) == (ending(failure), "")
    assert kept["error"] == {"type": failure.code, "detail": "It says no."}
    assert kept["prompt"] == PROMPT["prompt"]


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_what_arrived_before_a_failure_is_kept(
    settings: Settings, failure: type[LlamaKeepError], status: int
) -> None:
    provider = ScriptedProvider(["Once ", "upon ", failure()])

    async with connect(settings, provider) as client:
        response = await client.post("/prompt/", json=PROMPT)
        [kept] = await client.history()

    assert response.status_code == status
    assert response.json()["run_id"] == kept["id"]
    assert (kept["status"], kept["response"]) == (ending(failure), "Once upon ")


async def test_a_stream_that_fails_midway_ends_with_an_error_event(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Once ", "upon ", errors.ProviderTimeout()])

    async with connect(settings, provider) as client:
        events = await client.events("POST", "/prompt/", json=STREAM)
        [kept] = await client.history()

    assert [one.event for one in events] == ["run", "delta", "delta", "error"]
    assert events[-1].data == {
        "type": "urn:llamakeep:problem:provider-timeout",
        "title": "The model provider took too long.",
        "status": 504,
        "detail": "The model provider took too long.",
        "run_id": kept["id"],
    }
    assert (kept["status"], kept["response"]) == ("failed", "Once upon ")


async def test_a_failed_run_that_is_followed_later_ends_with_its_error(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Once ", errors.ProviderUnavailable("Gone.")])

    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.ended(run_id)
        events = await client.events("GET", f"/history/{run_id}/stream")

    assert [one.event for one in events] == ["run", "delta", "error"]
    assert events[1].data == {"text": "Once "}
    assert (events[2].data["status"], events[2].data["detail"]) == (503, "Gone.")
    assert events[2].data["run_id"] == run_id


async def test_a_run_that_takes_too_long_fails_with_what_arrived(
    settings: Settings,
) -> None:
    hasty = settings.model_copy(update={"run_timeout": 0.05})

    async with connect(hasty, ScriptedProvider(["Well, ", asyncio.Event()])) as client:
        response = await client.post("/prompt/", json=PROMPT)
        [kept] = await client.history()

    assert response.status_code == 504
    assert response.json()["type"] == "urn:llamakeep:problem:provider-timeout"
    assert (kept["status"], kept["response"]) == ("failed", "Well, ")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_in_a_provider_gives_nothing_away(
    settings: Settings, stream: bool
) -> None:
    provider = ScriptedProvider(["Once ", KeyError("a secret")])

    async with connect(settings, provider) as client:
        response = await client.post("/prompt/", json=PROMPT | {"stream": stream})
        [kept] = await client.history()

    assert response.status_code == (200 if stream else 500)
    assert "urn:llamakeep:problem:run-failed" in response.text
    assert "a secret" not in response.text + str(kept)
    assert (kept["status"], kept["response"]) == ("failed", "Once ")


@pytest.mark.parametrize(("failure", "_"), FAILURES)
async def test_an_error_does_not_repeat_the_prompt(
    settings: Settings, failure: type[LlamaKeepError], _: int
) -> None:
    async with connect(settings, ScriptedProvider([failure()])) as client:
        response = await client.post("/prompt/", json=PROMPT)

    assert PROMPT["prompt"] not in response.text


async def test_the_next_prompt_after_a_failure_is_answered(settings: Settings) -> None:
    provider = ScriptedProvider(refusal=errors.ProviderUnavailable())

    async with connect(settings, provider) as client:
        await client.post("/prompt/", json=PROMPT)
        provider.refusal = None
        response = await client.post("/prompt/", json=PROMPT)

    assert response.json()["response"] == "Hello, world"
