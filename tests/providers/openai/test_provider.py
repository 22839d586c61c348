import asyncio
import json
from contextlib import aclosing

import pytest

from llamakeep.domain import Parameters, Usage
from llamakeep.errors import (
    ProviderError,
)
from llamakeep.providers.base import Accepted, Finished
from llamakeep.providers.openai.provider import OpenAIProvider
from tests.providers.asking import Answer, ask, asked, request
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    Line,
    Then,
    delta,
    head,
    piece,
    running_stub,
    usage,
    whole,
)
from tests.waiting import LONG_ENOUGH, until

ANSWER = (head(), delta("Hello"), delta(", world"), STOP, usage(7, 3), DONE, END)


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

        async with asyncio.timeout(LONG_ENOUGH):
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


async def test_names_that_no_text_can_have_are_left_out_of_the_list() -> None:
    names = ["a\0b", "half\ud83d", "", None, 7, "llama3:8b"]
    listing = {"data": [None, {}, *({"id": name} for name in names)]}
    body = b"\xef\xbb\xbf" + json.dumps(listing).encode()
    async with asked(whole(200, body)) as (_, provider):
        assert await provider.models() == ["llama3:8b"]


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
