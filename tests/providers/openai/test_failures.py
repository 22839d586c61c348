from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from llamakeep.errors import (
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.openai.provider import OpenAIProvider
from tests.providers.asking import Answer, ask, asked
from tests.providers.stub_server import (
    END,
    Line,
    Then,
    delta,
    event,
    head,
    piece,
    whole,
)


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ((END,), ProviderUnavailable),
        ((Then.CLOSE,), ProviderUnavailable),
        ((Then.RESET,), ProviderUnavailable),
        ((Then.HANG,), ProviderTimeout),
        ((piece(b"data: {broken\n\n"),), ProviderAnswerInvalid),
        ((event({"choices": [1]}),), ProviderAnswerInvalid),
        ((event({"choices": [{"delta": 1}]}),), ProviderAnswerInvalid),
        ((event({"choices": [{"delta": {"content": 1}}]}),), ProviderAnswerInvalid),
        ((event({"error": {"message": "GPU on fire"}}),), ProviderError),
    ],
)
async def test_what_was_said_before_a_failure_is_not_lost(
    ending: tuple[Line, ...], error: type[LlamaKeepError]
) -> None:
    answer = Answer()
    async with asked(head(), delta("Hello"), *ending, silence_timeout=0.1) as (
        _,
        provider,
    ):
        with pytest.raises(error) as caught:
            await ask(provider, into=answer)

    assert type(caught.value) is error
    assert (answer.text, answer.finished) == ("Hello", None)


async def test_words_that_arrive_together_with_an_error_are_not_lost() -> None:
    failing = delta("Hello") + event({"error": "GPU on fire"})
    answer = Answer()
    async with asked(head() + failing) as (_, provider):
        with pytest.raises(ProviderError, match="GPU on fire"):
            await ask(provider, into=answer)

    assert answer.text == "Hello"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ((Then.CLOSE,), ProviderUnavailable),
        ((Then.RESET,), ProviderUnavailable),
        ((Then.HANG,), ProviderTimeout),
        ((b"SSH-2.0-OpenSSH\r\n\r\n", Then.CLOSE), ProviderAnswerInvalid),
        ((head(content_type="text/html"), END), ProviderAnswerInvalid),
        ((head(), piece(b"<html>Welcome</html>\n\n"), END), ProviderAnswerInvalid),
        ((head(), END), ProviderUnavailable),
        ((whole(200, b"{"),), ProviderAnswerInvalid),
        ((whole(200, {"error": {"message": "no"}}),), ProviderError),
        ((whole(402, {}),), ProviderError),
        ((whole(404, b"<html>"),), ProviderError),
        ((whole(404, {"error": "model 'parrot' not found"}),), ModelNotFound),
        ((whole(408, {}),), ProviderTimeout),
        ((whole(413, {}),), PromptRejected),
        ((whole(418, {}),), ProviderError),
        ((whole(422, {"detail": [{"msg": "?"}]}),), PromptRejected),
        ((whole(429, {"error": {"code": "insufficient_quota"}}),), ProviderError),
        ((whole(429, {}),), ProviderRateLimited),
        ((whole(500, {}),), ProviderError),
        ((whole(502, b"<html>"),), ProviderUnavailable),
        ((whole(503, {}),), ProviderUnavailable),
        ((whole(504, {}),), ProviderTimeout),
    ],
)
async def test_every_way_to_fail_has_its_error(
    script: tuple[Line, ...], error: type[LlamaKeepError]
) -> None:
    async with asked(*script, silence_timeout=0.1) as (stub, provider):
        with pytest.raises(error) as caught:
            await ask(provider)

    assert type(caught.value) is error
    assert len(stub.heard) == 1, "a prompt is sent once"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid"])
async def test_a_server_that_is_not_there_is_unavailable(address: str) -> None:
    provider = OpenAIProvider(f"http://{address}/v1", connect_timeout=1)

    with pytest.raises(ProviderUnavailable):
        await ask(provider)
    await provider.close()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_names_the_setting_and_never_the_key(status: int) -> None:
    body = {"error": {"message": "Incorrect API key provided: secret"}}
    async with asked(whole(status, body), api_key="secret") as (_, provider):
        with pytest.raises(ProviderUnauthenticated) as caught:
            await ask(provider)

    assert "LLAMAKEEP_OPENAI_API_KEY" in caught.value.detail
    assert "secret" not in caught.value.detail


async def test_a_rejection_says_why_in_few_words() -> None:
    body = {"error": {"message": "too long:\n\x1b[31m" + "x" * 5000}}
    async with asked(whole(400, body)) as (_, provider):
        with pytest.raises(PromptRejected) as caught:
            await ask(provider)

    assert "rejected the prompt: too long: [31mxxx" in caught.value.detail
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "7"}, {}, 7),
        ({"retry_after": "-7"}, {}, None),
        ({"retry_after": "nan"}, {}, None),
        ({"retry_after": "soon"}, {}, None),
        ({"retry_after": "99999999999"}, {}, None),
        ({}, {"retry_after": 3}, 3),
        ({}, {"error": {"message": "Please try again in 2.5s."}}, 2.5),
        ({}, {}, None),
        ({}, b"slow down", None),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(
    headers: dict[str, str], body: Any, seconds: float | None
) -> None:
    async with asked(whole(429, body, **headers)) as (_, provider):
        with pytest.raises(ProviderRateLimited) as caught:
            await ask(provider)

    assert caught.value.retry_after == seconds


async def test_a_rate_limit_may_name_the_hour() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    async with asked(whole(429, {}, retry_after=then)) as (_, provider):
        with pytest.raises(ProviderRateLimited) as caught:
            await ask(provider)

    assert caught.value.retry_after == pytest.approx(60, abs=3)


async def test_an_endless_line_does_not_fill_the_memory() -> None:
    line = piece(b"data: " + b"x" * 65536)
    async with asked(head(), *[line] * 20, Then.HANG) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="more than 1 MiB"):
            await ask(provider)


async def test_an_endless_answer_is_given_up() -> None:
    long = delta("x" * 1_000_000)
    async with asked(head(), *[long] * 17, Then.HANG) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="longer than"):
            await ask(provider)


async def test_an_answer_of_countless_values_is_given_up() -> None:
    many = b'{"choices":[{"message":{"content":"ok"}}],"x":[' + b"[]," * 300_000
    async with asked(whole(200, many + b"[]]}")) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="too many values"):
            await ask(provider)


async def test_a_long_answer_in_one_piece_is_read() -> None:
    text = 'a, [b] {c} "d" \\\n' * 30_000
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    async with asked(whole(200, {"choices": [choice]})) as (_, provider):
        answer = await ask(provider)

    assert answer.text == text
