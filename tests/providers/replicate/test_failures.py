"""What goes wrong at Replicate, and what it is called here."""

import asyncio
import logging

import pytest

from llamakeep.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.creating import create_registry
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.errors import refusal, seconds_to_wait
from tests.providers.asking import Answer, ask, settings
from tests.providers.replicating import MAVERICK, Control, asking, provider_at
from tests.providers.stub_server import running_stub, whole
from tests.waiting import LONG_ENOUGH


@pytest.mark.parametrize(
    ("rule", "error", "says", "may_exist"),
    [
        ({"status": 401}, ProviderUnauthenticated, "REPLICATE_API_TOKEN", False),
        ({"status": 402}, ProviderOutOfCredit, "billing", False),
        ({"status": 404}, ModelNotFound, "owner/name:version", False),
        ({"status": 403, "html": True}, ProviderUnauthenticated, "403", False),
        ({"status": 422}, PromptRejected, "rejected", False),
        ({"status": 429}, ProviderRateLimited, "slow down", False),
        ({"status": 500}, ProviderUnavailable, "500", True),
        (
            {"status": 502, "html": True, "creates": True},
            ProviderUnavailable,
            "5",
            True,
        ),
        ({"status": 504, "creates": True}, ProviderTimeout, "504", True),
        ({"drop": True}, ProviderUnavailable, "broke off", True),
        ({"drop": True, "creates": True}, ProviderUnavailable, "broke off", True),
    ],
)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_create_that_fails_is_not_repeated(  # noqa: PLR0917 - pytest's names
    replicate: ReplicateProvider,
    control: Control,
    rule: dict[str, object],
    error: type[LlamaKeepError],
    says: str,
    may_exist: bool,
    is_followed: bool,
) -> None:
    await control.rule(**rule)
    with pytest.raises(error, match=says) as caught:
        await ask(replicate, asking(is_followed=is_followed))

    assert type(caught.value) is error
    assert getattr(caught.value, "answer_may_exist", False) is may_exist
    assert (await control.requests())["create"] == 1


async def test_a_create_that_is_not_answered_may_have_been_heard(
    control: Control,
) -> None:
    provider = provider_at(control.origin, silence_timeout=0.2)
    await control.rule(delay=0.4)
    with pytest.raises(ProviderTimeout) as caught:
        await ask(provider, asking())
    await provider.close()

    assert caught.value.answer_may_exist
    assert (await control.requests())["create"] == 1


async def test_a_create_that_reached_nobody_was_not_heard() -> None:
    provider = provider_at("http://127.0.0.1:1")
    with pytest.raises(ProviderUnavailable) as caught:
        await ask(provider, asking())
    await provider.close()

    assert not caught.value.answer_may_exist


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"id": "x"}', b'{"id": "../x", "status": "x"}']
)
async def test_a_create_whose_answer_cannot_be_read_may_have_been_heard(
    body: bytes,
) -> None:
    async with running_stub(whole(201, body)) as stub:
        provider = provider_at(stub.base_url)
        with pytest.raises(ProviderAnswerInvalid) as caught:
            await ask(provider, asking(model="0" * 64))
        await provider.close()

    assert caught.value.answer_may_exist


async def test_a_limit_says_when_to_come_back(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(status=429, retry_after=7)

    with pytest.raises(ProviderRateLimited) as caught:
        await ask(replicate, asking())

    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("body", "stated", "reset", "seconds"),
    [
        ({"retry_after": 5, "detail": "resets in ~9s"}, 3.0, "4", 5),
        ({"detail": "resets in ~9s"}, 3.0, "4", 3),
        ({"detail": "resets in ~9s"}, None, "4", 4),
        ({"detail": "Your rate limit resets in ~30s."}, None, None, 30),
        ({"detail": "Expected available in 1 second."}, None, None, 1),
        ({"detail": "Slow down."}, None, "soon", None),
        ({"retry_after": 1e9}, None, None, 24 * 3600),
        ({"retry_after": 10**400}, None, None, None),
        ({"retry_after": -(10**400)}, 3.0, None, 3),
        ({"retry_after": -5}, None, "4", 4),
        ({"retry_after": True}, None, "4", 4),
        ({"retry_after": float("nan")}, None, None, None),
        ({"retry_after": float("inf")}, None, None, None),
        ({"retry_after": [1]}, None, "9" * 400, None),
        ({"detail": ["resets in ~9s"]}, None, "\u0663", 9),
        ([{"retry_after": 5}], None, None, None),
        (None, None, None, None),
    ],
)
def test_the_time_to_wait_is_found_wherever_it_is(
    body: object, stated: float | None, reset: str | None, seconds: float | None
) -> None:
    assert seconds_to_wait(body, stated=stated, reset=reset) == seconds


def test_wrong_fields_are_named() -> None:
    error = refusal(
        422,
        {
            "detail": "- input.top_p: Must be less than or equal to 1\n",
            "invalid_fields": [
                {"field": "input.top_p", "description": "Must be at most 1"},
                {"field": "", "description": "version is required"},
            ],
        },
    )

    assert "input.top_p: Must be at most 1; input: version is required" in error.detail


async def test_an_input_that_the_model_does_not_allow_is_rejected(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(on="models", status=503, times=None)  # or it was not sent
    with pytest.raises(PromptRejected, match=r"input\.max_tokens: Must be less"):
        await ask(replicate, asking(max_tokens=200_000))


@pytest.mark.parametrize(
    ("rule", "error", "says"),
    [
        ({"end": "failed"}, ProviderError, r"\(PA\)"),
        ({"end": "failed", "error": "Director: (E9828)"}, ProviderError, "E9828"),
        (
            {"end": "failed", "error": "E1002 PromptTooLong: Prompt", "deltas": []},
            ContextLengthExceeded,
            "PromptTooLong",
        ),
        (
            {"end": "failed", "error": "flagged as sensitive (E005)", "after": 0},
            ContentFiltered,
            "E005",
        ),
        ({"end": "canceled"}, ProviderError, "canceled at Replicate"),
        ({"end": "aborted"}, ProviderTimeout, "Nothing was paid"),
    ],
)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_prediction_that_fails_ends_at_once_and_says_why(  # noqa: PLR0917 - same
    replicate: ReplicateProvider,
    control: Control,
    rule: dict[str, object],
    error: type[LlamaKeepError],
    says: str,
    is_followed: bool,
) -> None:
    await control.rule(start_delay=0.05, **rule)
    answer = Answer()
    with pytest.raises(error, match=says) as caught:
        await ask(replicate, asking(is_followed=is_followed), into=answer)

    prediction = await control.only()
    assert (await control.requests()).get("get", 0) < 2  # it is not polled
    assert answer.text == "".join(prediction["output"] or ())
    assert type(caught.value) is error
    assert not getattr(caught.value, "answer_may_exist", False)


async def test_a_blank_prompt_is_rejected(replicate: ReplicateProvider) -> None:
    with pytest.raises(PromptRejected, match="PromptRequired"):
        await ask(replicate, asking(" "))


@pytest.mark.parametrize("way", ["abort", "erase"])
async def test_what_is_ended_from_outside_ends_at_once(
    replicate: ReplicateProvider, control: Control, way: str
) -> None:
    await control.rule(end="never", after=0)
    task = asyncio.create_task(ask(replicate, asking()))
    await control.until("starting")
    handle = (await control.only())["id"]
    await getattr(control, way)(handle)
    await asyncio.wait([task], timeout=LONG_ENOUGH)

    assert isinstance(task.exception(), ProviderError)
    assert (await control.requests())["get"] == 1  # it is not polled


async def test_a_long_outage_ends_the_wait_but_not_the_prediction(
    control: Control,
) -> None:
    provider = provider_at(control.origin, silence_timeout=0.3)
    await control.rule(end="never", gap=0.01)
    await control.rule(on="get", status=503, times=None)
    with pytest.raises(ProviderUnavailable) as caught:
        await ask(provider, asking())
    await provider.close()

    # Who knows whether it still runs: it can be asked for when Replicate is back.
    assert caught.value.answer_may_exist
    assert "cancel" not in await control.requests()


async def test_a_silent_stream_is_asked_for_again(control: Control) -> None:
    provider = provider_at(control.origin, silence_timeout=0.2)
    await control.rule(first_delay=0.5)
    answer = await ask(provider, asking())
    await provider.close()

    assert answer.text == "one two three"


@pytest.mark.parametrize("api_token", ["r8_\n", "r8_ä\x00", "anything else"])
async def test_a_wrong_api_token_says_what_to_set(
    control: Control, api_token: str
) -> None:
    await control.set(api_token="r8_right")
    provider = ReplicateProvider(api_token, base_url=control.origin)
    with pytest.raises(ProviderUnauthenticated, match="REPLICATE_API_TOKEN"):
        await ask(provider, asking())
    await provider.close()


async def test_a_wrong_api_token_is_said_at_the_start(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    await control.set(api_token="r8_right")
    registry = await asyncio.to_thread(
        create_registry,
        settings(
            replicate_api_token="hello",
            replicate_base_url=control.origin,
            default_model=f"replicate:{MAVERICK}",
        ),
    )
    await registry.warm_up()
    await registry.close()

    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "start with r8_" in warnings[0]
    assert "REPLICATE_API_TOKEN" in warnings[1]
    assert "hello" not in "".join(warnings)


async def test_replicate_is_preferred_when_its_api_token_is_set() -> None:
    registry = await asyncio.to_thread(
        create_registry,
        settings(
            replicate_api_token="r8_x",
            replicate_model="meta/llama-4-scout-instruct",
            openai_base_url="http://127.0.0.1:1/v1",
            openai_models=("parrot",),
        ),
    )
    provider, model = await registry.resolve(None)
    await registry.close()

    assert (provider.name, model) == ("replicate", "meta/llama-4-scout-instruct")
