import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from llamakeep.domain import Parameters, Usage
from llamakeep.errors import (
    LlamaKeepError,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.base import Accepted, Finished
from llamakeep.providers.openai import OpenAIProvider
from tests.providers.asking import Answer, ask, request, until
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    Line,
    StubServer,
    Then,
    delta,
    event,
    head,
    piece,
    running_stub,
    usage,
    whole,
)

ANSWER = (head(), delta("Hello"), delta(", world"), STOP, usage(7, 3), DONE, END)


@asynccontextmanager
async def asked(
    *script: Line, **options: Any
) -> AsyncIterator[tuple[StubServer, OpenAIProvider]]:
    async with running_stub(*script) as stub:
        provider = OpenAIProvider(stub.base_url, **options)
        yield stub, provider
        await provider.close()


async def test_an_answer_comes_with_its_usage_and_resolved_model() -> None:
    async with asked(*ANSWER) as (_, provider):
        answer = await ask(provider)

    assert answer.text == "Hello, world"
    assert answer.finished == Finished("stop", Usage(7, 3), "parrot-2025")


async def test_only_what_was_given_is_sent() -> None:
    async with asked(*ANSWER) as (stub, provider):
        await ask(provider)

    assert stub.heard[0].json == {
        "model": "parrot",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_every_parameter_is_passed_on() -> None:
    parameters = Parameters(
        max_tokens=5,
        min_tokens=1,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop=("\n",),
        seed=0,
    )
    async with asked(*ANSWER) as (stub, provider):
        await ask(provider, request(parameters=parameters))

    expected = parameters.given() | {"stop": ["\n"]}
    assert {name: stub.heard[0].json[name] for name in expected} == expected


async def test_deltas_arrive_while_the_server_is_still_talking() -> None:
    go_on = asyncio.Event()
    script = (head(), delta("one"), go_on, delta("two"), STOP, DONE, END)
    async with (
        asked(*script) as (_, provider),
        aclosing(provider.answer(request())) as events,
    ):
        first = [await anext(events), await anext(events)]
        go_on.set()
        rest = [event async for event in events]

    assert first == [Accepted(), "one"]
    assert rest[0] == "two"


async def test_the_prompt_counts_as_accepted_before_the_first_word() -> None:
    async with (
        asked(head(), Then.HANG) as (_, provider),
        aclosing(provider.answer(request())) as events,
    ):
        assert await anext(events) == Accepted()


async def test_closing_the_answer_hangs_up() -> None:
    async with asked(head(), delta("one"), Then.HANG) as (stub, provider):
        async with aclosing(provider.answer(request())) as events:
            await anext(events)
            await anext(events)
        await until(lambda: stub.clients_gone == 1)


async def test_canceling_while_the_server_speaks_hangs_up() -> None:
    async with asked(head(), delta("one"), Then.HANG) as (stub, provider):
        answer = Answer()
        task = asyncio.create_task(ask(provider, into=answer))
        await until(lambda: answer.text == "one")
        task.cancel()
        await until(lambda: stub.clients_gone == 1)

    assert task.cancelled()


async def test_canceling_before_the_server_answers_hangs_up_when_it_does() -> None:
    wake_up = asyncio.Event()
    async with asked(wake_up, head(), delta("one"), Then.HANG) as (stub, provider):
        task = asyncio.create_task(ask(provider))
        await until(lambda: len(stub.heard) == 1)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        wake_up.set()
        await until(lambda: stub.clients_gone == 1)

    assert task.cancelled()


async def test_closing_does_not_wait_for_a_canceled_answer() -> None:
    async with asked(Then.HANG) as (stub, provider):
        task = asyncio.create_task(ask(provider))
        await until(lambda: len(stub.heard) == 1)
        task.cancel()
        await asyncio.wait([task], timeout=1)

        async with asyncio.timeout(1):
            await provider.close()


async def test_connections_are_used_again() -> None:
    async with asked(*ANSWER) as (stub, provider):
        for _ in range(5):
            await ask(provider)

    assert (stub.connections, len(stub.heard)) == (1, 5)


async def test_connections_to_llama_cpp_are_not_used_again_because_it_drops_them() -> (
    None
):
    start = head().replace(b"\r\n", b"\r\nserver: llama.cpp\r\n", 1)
    async with asked(start, *ANSWER[1:]) as (stub, provider):
        for _ in range(5):
            await ask(provider)

    assert stub.connections > 3


async def test_the_key_is_sent_as_a_bearer_token() -> None:
    async with asked(*ANSWER, api_key="secret") as (stub, provider):
        await ask(provider)

    assert stub.heard[0].headers["authorization"] == "Bearer secret"


async def test_without_a_key_none_is_sent() -> None:
    async with asked(*ANSWER) as (stub, provider):
        await ask(provider)

    assert "authorization" not in stub.heard[0].headers


async def test_a_redirect_is_not_followed_and_the_key_stays_home() -> None:
    async with running_stub(*ANSWER) as elsewhere:
        moved = whole(307, {}, location=f"{elsewhere.base_url}/chat/completions")
        async with asked(moved, api_key="secret") as (_, provider):
            with pytest.raises(ProviderError, match="LLAMAKEEP_OPENAI_BASE_URL"):
                await ask(provider)

    assert elsewhere.heard == []


async def test_a_whole_completion_is_understood_too() -> None:
    completion = {
        "model": "parrot-2025",
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    async with asked(whole(200, completion)) as (_, provider):
        answer = await ask(provider)

    assert answer.deltas == ["Hello"]
    assert answer.finished == Finished("stop", Usage(7, 3), "parrot-2025")


async def test_letters_cut_in_two_arrive_whole() -> None:
    bytes_ = b"".join(line[line.index(b"\r\n") + 2 : -2] for line in ANSWER[1:6])
    bytes_ = bytes_.replace(b"Hello", "Grüße\u2028\U0001f999".encode())
    script = [head(), *(piece(bytes([byte])) for byte in bytes_), END]
    async with asked(*script) as (_, provider):
        answer = await ask(provider)

    assert answer.text == "Grüße\u2028\U0001f999, world"


async def test_a_character_that_databases_refuse_is_replaced() -> None:
    async with asked(head(), delta("a\0b"), STOP, DONE, END) as (_, provider):
        answer = await ask(provider)

    assert answer.text == "a\ufffdb"


@pytest.mark.parametrize(
    "ending",
    [
        (STOP, END),
        (DONE, END),
        (STOP, Then.CLOSE),
        (STOP, Then.RESET),
        (DONE, Then.HANG),
    ],
    ids=["no DONE", "no finish reason", "closed", "reset", "never closed"],
)
async def test_an_answer_is_complete_when_its_end_was_said(
    ending: tuple[Line, ...],
) -> None:
    async with asked(head(), delta("Hello"), *ending) as (_, provider):
        answer = await ask(provider)

    assert answer.text == "Hello"
    assert answer.finished is not None


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ((END,), ProviderUnavailable),
        ((Then.CLOSE,), ProviderUnavailable),
        ((Then.RESET,), ProviderUnavailable),
        ((Then.HANG,), ProviderTimeout),
        ((piece(b"data: {broken\n\n"),), ProviderAnswerInvalid),
        ((event([]),), ProviderAnswerInvalid),
        ((event({}),), ProviderAnswerInvalid),
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
        ((whole(404, {"error": "model 'parrot' not found"}),), PromptRejected),
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
        ({"retry_after": "-7"}, {}, 0),
        ({"retry_after": "nan"}, {}, None),
        ({"retry_after": "soon"}, {}, None),
        ({"retry_after": "99999999999"}, {}, 24 * 3600),
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
        with pytest.raises(ProviderAnswerInvalid, match="endless"):
            await ask(provider)


async def test_an_endless_answer_is_given_up() -> None:
    long = delta("x" * 1_000_000)
    async with asked(head(), *[long] * 17, Then.HANG) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="longer than"):
            await ask(provider)


async def test_without_a_list_any_model_may_be_asked_for() -> None:
    provider = OpenAIProvider("http://127.0.0.1:1/v1")

    assert provider.serves("anything")


async def test_a_list_of_models_is_the_limit_and_its_first_is_the_default() -> None:
    provider = OpenAIProvider("http://127.0.0.1:1/v1", models=("a", "b"))

    assert [provider.serves(model) for model in "abc"] == [True, True, False]
    assert await provider.default_model() == "a"


async def test_the_default_model_is_asked_for_once() -> None:
    listing = {"object": "list", "data": [{"id": "llama3:8b"}, {"id": "other"}]}
    async with asked(whole(200, listing), api_key="secret") as (stub, provider):
        names = [await provider.default_model() for _ in range(2)]

    assert names == ["llama3:8b", "llama3:8b"]
    assert [heard.path for heard in stub.heard] == ["/v1/models"]


@pytest.mark.parametrize(
    "said",
    [whole(200, {"data": []}), whole(200, b"?"), whole(404, {"error": "model?"})],
)
async def test_a_server_without_a_list_of_models_is_the_providers_fault(
    said: bytes,
) -> None:
    async with asked(said) as (_, provider):
        with pytest.raises(ProviderError):
            await provider.default_model()
