"""Sending a prompt again with the same Idempotency-Key."""

import asyncio

import pytest

from llamakeep.errors import ProviderTimeout
from llamakeep.settings import Settings
from tests.api.serving import BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

KEY = {"Idempotency-Key": "0b5e-7"}


async def test_the_same_key_and_body_answer_the_same_run(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await client.post("/prompt/", json=PROMPT, headers=KEY)
    provider.script = ["Something else"]

    second = await client.post("/prompt/", json=PROMPT, headers=KEY)

    assert second.json() == first.json()
    assert len(provider.requests) == len(await client.history()) == 1


async def test_the_same_key_can_be_streamed_again(client: Client) -> None:
    body = PROMPT | {"stream": True}
    first = await client.events("POST", "/prompt/", json=body, headers=KEY)

    second = await client.events("POST", "/prompt/", json=body, headers=KEY)

    assert second[0] == first[0]
    assert second[-1] == first[-1]
    assert "".join(e.data["text"] for e in second[1:-1]) == "Hello, world"
    assert len(await client.history()) == 1


@pytest.mark.parametrize(
    "change", [{"prompt": "Another"}, {"seed": 1}, {"metadata": {"a": "b"}}]
)
async def test_the_same_key_with_another_body_is_refused(
    client: Client, change: dict[str, object]
) -> None:
    first = await client.post("/prompt/", json=PROMPT, headers=KEY)

    response = await client.post("/prompt/", json=PROMPT | change, headers=KEY)

    assert response.status_code == 422
    assert response.json()["type"] == "urn:llamakeep:problem:idempotency-key-reused"
    assert first.json()["id"] in response.json()["detail"]
    assert len(await client.history()) == 1


async def test_the_same_key_while_the_run_goes_on_follows_it(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["It takes ", go_on, "time"])

    async with connect(settings, provider) as client:
        body = PROMPT | {"background": True}
        first = await client.post("/prompt/", json=body, headers=KEY)
        again = await client.post("/prompt/", json=body, headers=KEY)
        go_on.set()
        ended = await client.ended(first.json()["id"])

    assert (again.status_code, again.json()["id"]) == (202, ended["id"])
    assert ended["response"] == "It takes time"
    assert len(provider.requests) == 1


async def test_fifty_at_once_make_one_run_and_get_one_answer(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Only ", "once"])

    async with connect(settings, provider) as client:
        responses = await asyncio.gather(
            *(client.post("/prompt/", json=PROMPT, headers=KEY) for _ in range(50))
        )
        kept = await client.history()

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len(kept) == len(provider.requests) == 1


async def test_two_users_may_use_the_same_key(client: Client) -> None:
    alices = await client.post("/prompt/", json=PROMPT, headers=KEY)

    bobs = await client.post("/prompt/", json={"prompt": "Mine"}, headers=KEY | BOB)

    assert bobs.status_code == 200
    assert bobs.json()["id"] != alices.json()["id"]


async def test_a_failure_is_answered_again_and_not_tried_again(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(refusal=ProviderTimeout())

    async with connect(settings, provider) as client:
        first = await client.post("/prompt/", json=PROMPT, headers=KEY)
        provider.refusal = None
        second = await client.post("/prompt/", json=PROMPT, headers=KEY)

    assert first.status_code == second.status_code == 504
    assert second.json()["run_id"] == first.json()["run_id"]
    assert len(provider.requests) == 1


async def test_without_a_key_every_prompt_is_a_run(client: Client) -> None:
    for _ in range(2):
        await client.post("/prompt/", json=PROMPT)

    assert len(await client.history()) == 2
