"""Vectors of texts: what is asked, answered, kept and refused."""

import asyncio
import json
from array import array
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest

from llamakeep.domain import Limits, Price
from llamakeep.domain.embeddings import texts_of
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from tests.api.openai.client import error
from tests.api.serving import ALICE, BOB, Client, connect
from tests.fakes import EmbeddingProvider, ScriptedProvider
from tests.waiting import until

EMBEDDINGS = "/v1/embeddings"
HI = {"input": "Hi"}


@pytest.fixture
def provider() -> EmbeddingProvider:
    return EmbeddingProvider()


async def test_vectors_come_in_the_order_of_their_texts(
    client: Client, provider: EmbeddingProvider
) -> None:
    texts = ["Salt", "and\n", "Pepper"]

    response = await client.post(EMBEDDINGS, json={"input": texts, "model": "parrot"})

    assert response.json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [4, 0.125, -2.5]},
            {"object": "embedding", "index": 1, "embedding": [4, 0.125, -2.5]},
            {"object": "embedding", "index": 2, "embedding": [6, 0.125, -2.5]},
        ],
        "model": "scripted:parrot",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert response.headers["x-request-id"].startswith("req_")
    assert texts_of(provider.requests[0].messages[-1]) == texts


async def test_vectors_may_be_had_in_base64(client: Client) -> None:
    wanted = HI | {"encoding_format": "base64"}

    response = await client.post(EMBEDDINGS, json=wanted)

    vector = array("f", b64decode(response.json()["data"][0]["embedding"]))
    assert vector == array("f", [2, 0.125, -2.5])


async def test_the_texts_and_the_usage_are_kept_without_the_vectors(
    client: Client,
) -> None:
    asked = {"input": ["Salt", "Pepper"], "user": "4711"}
    await client.post(EMBEDDINGS, json=asked)

    [kept] = await client.history()
    assert (kept["prompt"], kept["response"]) == ("Salt\nPepper", "")
    assert (kept["status"], kept["finish_reason"]) == ("succeeded", None)
    assert kept["parameters"] == {"embedding": {}}
    assert kept["end_user"] == "4711"
    assert kept["usage"] | {"cost_usd": None} == {
        "input_tokens": 7,
        "output_tokens": 0,
        "cost_usd": None,
        "cached_tokens": None,
        "reasoning_tokens": None,
    }
    [found] = (await client.get("/history/?q=pepper")).json()["history"]
    assert found["id"] == kept["id"]
    assert "-2.5" not in json.dumps(kept)


async def test_an_export_with_vectors_can_be_imported(client: Client) -> None:
    await client.post(EMBEDDINGS, json={"input": ["a", "b"], "dimensions": 3})
    exported = await client.get("/history/export")
    [kept] = await client.history()

    imported = await client.post(
        "/history/import",
        content=exported.content,
        headers=BOB | {"content-type": "application/x-ndjson"},
    )

    assert imported.json()["imported"] == 1, imported.text
    [other] = await client.history(**BOB)
    assert other["parameters"] == {"embedding": {"dimensions": 3}}
    assert other["last_message"] == kept["last_message"]


async def test_vectors_are_in_no_conversation_and_nothing_follows_them(
    client: Client,
) -> None:
    await client.post(EMBEDDINGS, json=HI)
    [kept] = await client.history()

    listed = await client.get("/conversations/")
    in_it = await client.post(
        "/prompt/", json={"prompt": "Go on", "conversation_id": kept["conversation_id"]}
    )
    after_it = await client.post(
        "/v1/responses",
        json={
            "input": "Go on",
            "previous_response_id": kept["id"].replace("run_", "resp_"),
        },
    )

    assert listed.json()["conversations"] == []
    assert in_it.status_code == 404
    assert error(after_it)["code"] == "run_not_answered"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": ["a", [1]]}, "input[1]"),
        ({"input": [[1], "a"]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [1, True]}, "input"),
        ({"input": [1, -1]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a\0"}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        (HI | {"dimensions": 0}, "dimensions"),
        (HI | {"encoding_format": "int8"}, "encoding_format"),
        (HI | {"input_type": "query"}, "input_type"),
    ],
)
async def test_what_cannot_be_made_vectors_of_is_refused_by_name(
    shared_client: Client, asked: dict[str, Any], param: str
) -> None:
    response = await shared_client.post(EMBEDDINGS, json=asked)

    assert response.status_code == 400, response.text
    assert error(response)["param"] == param
    assert await shared_client.history() == []


async def test_ids_of_tokens_are_refused_where_texts_alone_are_read(
    client: Client,
) -> None:
    response = await client.post(EMBEDDINGS, json={"input": [[1, 2], [3]]})

    assert response.status_code == 400
    assert error(response)["param"] == "input"
    assert await client.history() == []


async def test_a_provider_without_embeddings_names_those_that_have_some(
    settings: Settings,
) -> None:
    providers = ScriptedProvider(name="words"), EmbeddingProvider(models=["counter"])
    async with connect(settings, *providers) as client:
        refused = await client.post(EMBEDDINGS, json=HI | {"model": "words:parrot"})
        history = await client.history()

    assert error(refused)["param"] == "model"
    assert "such as scripted:counter" in error(refused)["message"]
    assert history == []


async def test_a_provider_that_fails_is_told_of_and_the_texts_are_kept(
    client: Client, provider: EmbeddingProvider
) -> None:
    provider.refusal = ProviderUnavailable("It is down.")

    response = await client.post(EMBEDDINGS, json=HI)

    [kept] = await client.history()
    assert response.status_code == 503
    assert kept["id"] in error(response)["message"]
    assert (kept["prompt"], kept["status"]) == ("Hi", "failed")


async def test_a_repeated_request_reads_along_and_later_is_told_that_nothing_was_kept(
    client: Client, provider: EmbeddingProvider
) -> None:
    provider.before_accepting = asyncio.Event()
    headers = {"Idempotency-Key": "one"}
    twice = [
        asyncio.create_task(client.post(EMBEDDINGS, json=HI, headers=headers))
        for _ in range(2)
    ]
    await until(lambda: len(provider.requests) == 1)
    provider.before_accepting.set()
    first, second = [(await each).json() for each in twice]

    late = await client.post(EMBEDDINGS, json=HI, headers=headers)

    assert first == second
    assert first["data"][0]["embedding"] == [2, 0.125, -2.5]
    assert late.status_code == 409
    assert late.headers["x-should-retry"] == "false"
    assert error(late)["code"] == "vectors_not_kept"
    assert len(provider.requests) == 1


async def test_vectors_count_against_limits(settings: Settings) -> None:
    limited = settings.model_copy(
        update={"user_limits": Limits(tokens_per_day=40), "quota_max_tokens": 1000}
    )
    provider = EmbeddingProvider()
    provider.prices["parrot"] = Price(Decimal(1), Decimal(1))
    async with connect(limited, provider) as client:
        first = await client.post(EMBEDDINGS, json=HI)
        large = await client.post(EMBEDDINGS, json={"input": "x" * 20})
        [kept] = await client.history()

    assert first.status_code == 200, first.text
    assert error(large)["code"] == "insufficient_quota"
    assert kept["usage"]["cost_usd"] == pytest.approx(7e-6)


async def test_a_large_response_is_written_off_the_event_loop(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.openai.embeddings._FEW", 0)

    response = await client.post(EMBEDDINGS, json=HI, headers=ALICE)

    assert response.json()["data"][0]["embedding"] == [2, 0.125, -2.5]
