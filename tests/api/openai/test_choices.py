"""Several choices for a request, which are runs of their own."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import groupby
from typing import Any

import pytest

from llamakeep.engine import Engine, Update
from llamakeep.errors import PromptRejected, ProviderError
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, STREAM, error, events
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider
from tests.waiting import LONG_ENOUGH, until

COMPLETIONS = "/v1/completions"


async def test_each_choice_is_a_run_of_its_own(
    client: Client, provider: ScriptedProvider
) -> None:
    response = await client.post(CHAT, json=HI | {"n": 3, "seed": 2**63 - 2})

    completion = response.json()
    assert [one["index"] for one in completion["choices"]] == [0, 1, 2]
    said = {one["message"]["content"] for one in completion["choices"]}
    assert said == {"Hello, world"}
    assert completion["usage"] == {
        "prompt_tokens": 21,
        "completion_tokens": 9,
        "total_tokens": 30,
    }
    kept = await client.history()
    assert [run["status"] for run in kept] == ["succeeded"] * 3
    assert completion["id"] == kept[-1]["id"].replace("run_", "chatcmpl-")
    seeds = {one.parameters.seed for one in provider.requests}
    assert seeds == {2**63 - 2, 2**63 - 1, -(2**63)}


async def test_choices_are_streamed_as_they_come(settings: Settings) -> None:
    gate = asyncio.Event()
    provider = ScriptedProvider(["Hello", gate, ", ", "world"])
    wanted = {"n": 2, "stream_options": {"include_usage": True}}
    async with connect(settings, provider) as client:
        answer = asyncio.create_task(client.post(CHAT, json=STREAM | wanted))
        await until(lambda: len(provider.requests) == 2)
        gate.set()
        *chunks, last, done = events(await answer, may_be_silent=True)

    assert (last["choices"], last["usage"]["total_tokens"], done) == ([], 20, "[DONE]")
    assert len({one["id"] for one in chunks}) == 1
    assert {one["usage"] for one in chunks} == {None}
    choices = [choice for one in chunks for choice in one["choices"]]
    assert len([*groupby(one["index"] for one in choices)]) > 2
    for index in range(2):
        own = [one for one in choices if one["index"] == index]
        text = "".join([one["delta"].get("content") or "" for one in own])
        assert (text, own[-1]["finish_reason"]) == ("Hello, world", "stop")


async def test_each_of_several_prompts_is_completed(
    client: Client, provider: ScriptedProvider
) -> None:
    response = await client.post(COMPLETIONS, json={"prompt": ["a", "b"], "n": 2})
    streamed = await client.post(
        COMPLETIONS, json={"prompt": ["c", "d"], "stream": True}
    )

    choices = response.json()["choices"]
    assert [one["index"] for one in choices] == [0, 1, 2, 3]
    kept = await client.history()
    assert [run["prompt"] for run in reversed(kept)] == ["a", "a", "b", "b", "c", "d"]
    *chunks, done = events(streamed, may_be_silent=True)
    assert {one["choices"][0]["index"] for one in chunks} == {0, 1}
    assert done == "[DONE]"
    assert len(provider.requests) == 6


async def test_a_repeated_request_finds_all_of_its_choices(
    client: Client, provider: ScriptedProvider
) -> None:
    headers = {"Idempotency-Key": "k" * 255}

    first = await client.post(CHAT, json=HI | {"n": 2}, headers=headers)
    again = await client.post(CHAT, json=HI | {"n": 2}, headers=headers)
    other = await client.post(CHAT, json=HI | {"n": 3}, headers=headers)

    assert again.json() == first.json()
    assert len(provider.requests) == 2
    assert other.status_code == 422


@pytest.mark.parametrize("more", [{}, {"stream": True}])
async def test_a_choice_that_fails_ends_them_all(
    settings: Settings, more: dict[str, Any]
) -> None:
    provider = ScriptedProvider(refusal=PromptRejected("No."))

    async with connect(settings, provider) as client:
        response = await client.post(CHAT, json=HI | {"n": 2} | more)
        kept = await client.history()

    assert response.status_code == 400
    assert error(response)["message"].startswith("No.")
    assert {run["status"] for run in kept} <= {"failed", "canceled"}


async def test_a_stream_of_choices_ends_with_the_error_of_one(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Hello", ProviderError("It broke.")])

    async with connect(settings, provider) as client:
        response = await client.post(CHAT, json=STREAM | {"n": 2})
        kept = await client.history()

    *_, last = events(response, may_be_silent=True)
    assert "It broke." in last["error"]["message"]
    assert {run["status"] for run in kept} <= {"failed", "canceled"}


async def test_a_stream_of_choices_ends_when_one_cannot_be_followed(
    settings: Settings, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow(*_: object) -> AsyncGenerator[Update, None]:
        yield dict[str, Update]()["missing"]

    monkeypatch.setattr(Engine, "follow", follow)

    async with connect(settings, provider) as client:
        with pytest.raises(KeyError):
            async with asyncio.timeout(LONG_ENOUGH):
                await client.post(CHAT, json=STREAM | {"n": 2})


async def test_there_are_at_most_sixteen_choices(shared_client: Client) -> None:
    response = await shared_client.post(CHAT, json=HI | {"n": 17})

    assert (response.status_code, error(response)["param"]) == (400, "n")
