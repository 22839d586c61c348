"""Vectors from servers that speak OpenAI's API, however they write them."""

import json
from array import array
from base64 import b64encode
from contextlib import aclosing
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, Usage
from llamakeep.domain.embeddings import prompt_of
from llamakeep.errors import (
    ContextLengthExceeded,
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderUnavailable,
)
from llamakeep.providers.base import Accepted, CompletionRequest, Finished
from llamakeep.providers.openai.provider import OpenAIProvider
from tests.providers.asking import asked
from tests.providers.stub_server import whole


def wanted(*texts: str, **embedding: Any) -> CompletionRequest:
    prompt, message = prompt_of(texts)
    return CompletionRequest(
        run_id="run_1",
        attempt=1,
        model="counter",
        messages=[message or Message("user", prompt)],
        parameters=Parameters(embedding=embedding),
    )


async def embed(provider: OpenAIProvider, request: CompletionRequest) -> Finished:
    async with aclosing(provider.embed(request)) as events:
        accepted, finished = [event async for event in events]
    assert isinstance(accepted, Accepted)
    assert isinstance(finished, Finished)
    return finished


def in_base64(*numbers: float) -> str:
    return b64encode(array("f", numbers)).decode()


def listed(*embeddings: Any, **more: Any) -> dict[str, Any]:
    data = [{"index": at, "embedding": each} for at, each in enumerate(embeddings)]
    return {"object": "list", "data": data, "model": "counter-2", **more}


async def test_vectors_are_asked_for_in_base64() -> None:
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    body = listed(in_base64(1, 0.5), in_base64(2, 0.5), usage=usage)
    async with asked(whole(200, body)) as (stub, provider):
        finished = await embed(provider, wanted("Salt", "Pepper", dimensions=2))

    assert stub.heard[0].path == "/v1/embeddings"
    assert stub.heard[0].json == {
        "model": "counter",
        "input": ["Salt", "Pepper"],
        "dimensions": 2,
        "encoding_format": "base64",
    }
    assert finished.vectors == [array("f", [1, 0.5]), array("f", [2, 0.5])]
    assert finished.usage == Usage(5, 0)
    assert finished.resolved_model == "counter-2"


async def test_decimals_stay_as_exact_as_they_came() -> None:
    numbers = [0.1, -1, 1e-9]
    async with asked(whole(200, listed(numbers))) as (_, provider):
        finished = await embed(provider, wanted("Salt"))

    assert finished.vectors == [array("d", numbers)]
    assert finished.usage == Usage(None, None)


async def test_ids_of_tokens_are_passed_on_as_numbers() -> None:
    async with asked(whole(200, listed([1.0], [2.0]))) as (stub, provider):
        await embed(provider, wanted("[1,2]", "[3]", token_ids=True))

    assert stub.heard[0].json["input"] == [[1, 2], [3]]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_without_base64_is_asked_for_decimals_from_then_on(
    status: int,
) -> None:
    refusal = {"error": {"message": "encoding_format: it has to be 'float'"}}
    async with asked(whole(200, listed([1.0]))) as (stub, provider):
        stub.scripts = [[whole(status, refusal)]]
        await embed(provider, wanted("Salt"))
        await embed(provider, wanted("Salt"))

    assert ["encoding_format" in each.json for each in stub.heard] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("has_numbers", [True, False])
async def test_vectors_are_put_in_the_order_of_the_texts(has_numbers: bool) -> None:
    body = listed([1.0], [2.0], [3.0])
    if has_numbers:
        body["data"].reverse()
    else:
        for each in body["data"]:
            del each["index"]
    async with asked(whole(200, body)) as (_, provider):
        finished = await embed(provider, wanted("a", "b", "c"))

    assert finished.vectors == [array("d", [n]) for n in (1, 2, 3)]


TWICE = {"data": [{"index": 1, "embedding": [1]}, {"index": 1, "embedding": [1]}]}


@pytest.mark.parametrize(
    "body",
    [
        b"nothing",
        [],
        {"data": {}},
        {"data": [1, 2]},
        listed([1.0]),
        listed([1.0], [1.0], [1.0]),
        listed([1.0], [1.0, 2.0]),
        listed([1.0], []),
        listed([1.0], None),
        listed([1.0], ["1"]),
        listed([1.0], [[1.0]]),
        listed([1.0], "?"),
        listed([1.0], "AAA="),
        listed([1.0], in_base64(float("nan"))),
        listed([1.0], [1e300]),
        listed([1.0], [10**400]),
        json.dumps(listed([1.0], [float("inf")])).encode(),
        TWICE,
        b"[" * 1_000_000,
    ],
)
async def test_what_is_no_vector_of_each_text_is_refused(body: Any) -> None:
    async with asked(whole(200, body)) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="embeddings"):
            await embed(provider, wanted("Salt", "Pepper"))


async def test_vectors_of_another_length_than_was_asked_for_are_refused() -> None:
    async with asked(whole(200, listed([1.0, 2.0]))) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="2 dimensions"):
            await embed(provider, wanted("Salt", dimensions=3))


async def test_an_answer_with_too_many_values_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llamakeep.providers.openai.embeddings._MOST_VALUES", 20)
    async with asked(whole(200, listed([1.0] * 20))) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="more than 20 values"):
            await embed(provider, wanted("Salt"))


async def test_an_answer_is_read_up_to_what_so_many_vectors_may_take() -> None:
    async with asked(whole(200, b" " * 2 * 1024 * 1024)) as (_, provider):
        with pytest.raises(ProviderAnswerInvalid, match="too long"):
            await embed(provider, wanted("Salt"))


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "Bad words", PromptRejected),
        (404, "The model does not exist", ModelNotFound),
        (404, "Not Found", ProviderError),
        (503, "Later", ProviderUnavailable),
        (500, "input (600 tokens) is too large to process", ContextLengthExceeded),
        (200, "Bad words", ProviderError),
    ],
)
async def test_what_a_server_refuses_is_told_apart(
    status: int, message: str, expected: type[LlamaKeepError]
) -> None:
    async with asked(whole(status, {"error": {"message": message}})) as (_, provider):
        with pytest.raises(LlamaKeepError) as raised:
            await embed(provider, wanted("Salt"))

    assert type(raised.value) is expected
    assert "chat completions" not in raised.value.detail
