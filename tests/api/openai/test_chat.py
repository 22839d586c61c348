"""Chat completions: what is sent back, what the model is asked, what is kept."""

import asyncio
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, Usage
from llamakeep.providers.base import Finished
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, STREAM, events
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

CHUNK = {
    "object": "chat.completion.chunk",
    "model": "scripted:parrot",
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return CHUNK | {"choices": [choice]}


async def test_a_chat_completion_has_openais_form(client: Client) -> None:
    response = await client.post(CHAT, json=HI)

    [kept] = await client.history()
    completion = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    assert type(completion.pop("created")) is int
    assert completion == {
        "id": kept["id"].replace("run_", "chatcmpl-"),
        "object": "chat.completion",
        "model": "scripted:parrot",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello, world",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }


async def test_a_stream_says_who_speaks_then_what_then_why_it_ends(
    client: Client,
) -> None:
    response = await client.post(CHAT, json=STREAM)

    *chunks, done = events(response)
    [kept] = await client.history()
    known = {(one.pop("id"), one.pop("created")) for one in chunks}
    assert [name for name, _ in known] == [kept["id"].replace("run_", "chatcmpl-")]
    assert chunks == [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "Hello"}),
        chunk({"content": ", "}),
        chunk({"content": "world"}),
        chunk({}, "stop"),
    ]
    assert done == "[DONE]"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"].startswith("req_")


async def test_a_stream_ends_with_its_usage_when_that_is_wanted(client: Client) -> None:
    wanted = STREAM | {"stream_options": {"include_usage": True}}

    *chunks, last, _ = events(await client.post(CHAT, json=wanted))

    assert [one["usage"] for one in chunks] == [None] * 5
    assert (last["choices"], last["usage"]) == ([], USAGE)


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=7)])
async def test_usage_that_is_not_known_is_null_and_not_zero(
    settings: Settings, usage: Usage
) -> None:
    provider = ScriptedProvider(finished=Finished("stop", usage))

    async with connect(settings, provider) as client:
        completion = (await client.post(CHAT, json=HI)).json()

    assert completion["usage"] is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        (None, "stop"),
    ],
)
async def test_reasons_to_finish_are_openais(
    settings: Settings, said: str | None, told: str
) -> None:
    provider = ScriptedProvider(finished=Finished(said, Usage()))

    async with connect(settings, provider) as client:
        completion = (await client.post(CHAT, json=HI)).json()

    assert completion["choices"][0]["finish_reason"] == told


async def test_messages_become_a_system_prompt_what_was_said_and_a_prompt(
    client: Client, provider: ScriptedProvider
) -> None:
    conversation = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "Three"},
    ]

    await client.post(CHAT, json={"messages": conversation})

    [kept] = await client.history()
    assert kept["prompt"] == "Three"
    assert kept["system_prompt"] == "Be brief.\n\nBe kind."
    assert provider.requests[0].messages == (
        Message("system", "Be brief.\n\nBe kind."),
        Message("user", "One"),
        Message("assistant", "Two"),
        Message("system", "Count."),
        Message("user", "Three"),
    )


async def test_parts_of_text_are_lines_of_their_own(
    client: Client, provider: ScriptedProvider
) -> None:
    parts = [{"type": "text", "text": "Once"}, {"type": "text", "text": "twice"}]

    await client.post(CHAT, json={"messages": [{"role": "user", "content": parts}]})

    assert provider.requests[0].messages == (Message("user", "Once\ntwice"),)


async def test_an_answer_can_be_sent_back_as_it_came(
    client: Client, provider: ScriptedProvider
) -> None:
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "Hello, world",
        "refusal": None,
        "annotations": [],
        "tool_calls": None,
    }

    response = await client.post(
        CHAT, json={"messages": [*HI["messages"], answer, *HI["messages"]]}
    )

    assert response.status_code == 200
    assert provider.requests[0].messages[1] == Message("assistant", "Hello, world")


async def test_every_parameter_reaches_the_model(
    client: Client, provider: ScriptedProvider
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}

    await client.post(
        CHAT,
        json=HI
        | {
            "model": "parrot",
            "max_completion_tokens": 100,
            "temperature": 0.7,
            "top_p": 0.9,
            "presence_penalty": 1.5,
            "frequency_penalty": -1.5,
            "stop": ["END", "###"],
            "seed": 42,
            "response_format": form,
            "top_k": 40,
            "min_tokens": 10,
        },
    )

    assert provider.requests[0].parameters == Parameters(
        max_tokens=100,
        min_tokens=10,
        temperature=0.7,
        top_p=0.9,
        top_k=40,
        presence_penalty=1.5,
        frequency_penalty=-1.5,
        stop=("END", "###"),
        seed=42,
        response_format=form,
    )


async def test_the_older_names_and_forms_of_parameters_work(
    client: Client, provider: ScriptedProvider
) -> None:
    older = {"max_tokens": 100, "stop": "END", "response_format": {"type": "text"}}

    await client.post(CHAT, json=HI | older)

    expected = Parameters(max_tokens=100, stop=("END",))
    assert provider.requests[0].parameters == expected


async def test_parameters_that_change_no_answer_are_accepted(
    client: Client, provider: ScriptedProvider
) -> None:
    harmless = {
        "user": "u-1",
        "safety_identifier": "u-1",
        "store": False,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "service_tier": "auto",
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "none",
        "n": 1,
        "logprobs": False,
        "logit_bias": None,
        "modalities": ["text"],
        "reasoning_effort": None,
        "stream_options": None,
        "stop": None,
        "metadata": None,
    }

    response = await client.post(CHAT, json=HI | harmless)

    assert response.status_code == 200, response.text
    assert provider.requests[0].parameters == Parameters()


async def test_metadata_are_kept_with_the_run(client: Client) -> None:
    await client.post(CHAT, json=HI | {"metadata": {"project": "x"}})

    assert (await client.history())[0]["metadata"] == {"project": "x"}


async def test_the_same_key_and_body_answer_the_same_run(client: Client) -> None:
    key = {"Idempotency-Key": "0b5e-7"}
    first = await client.post(CHAT, json=HI, headers=key)

    second = await client.post(CHAT, json=HI, headers=key)

    assert second.json() == first.json()
    assert len(await client.history()) == 1


async def test_a_completion_can_be_read_again(client: Client) -> None:
    tags = {"metadata": {"project": "x"}}
    completion = (await client.post(CHAT, json=HI | tags)).json()

    again = await client.get(f"{CHAT}/{completion['id']}")

    assert again.json() == completion | tags


async def test_a_canceled_run_is_a_completion_that_is_not_whole(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["It takes ", asyncio.Event()])
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "It takes ")
        await client.post(f"/history/{run_id}/cancel")

        found = await client.get(f"{CHAT}/{run_id.replace('run_', 'chatcmpl-')}")

    completion = found.json()
    assert completion["choices"][0]["message"]["content"] == "It takes "
    assert completion["choices"][0]["finish_reason"] is None
    assert completion["status"] == "canceled"


async def test_a_completion_can_be_forgotten(client: Client) -> None:
    completion = (await client.post(CHAT, json=HI)).json()

    gone = await client.delete(f"{CHAT}/{completion['id']}")

    assert gone.json() == {
        "object": "chat.completion.deleted",
        "id": completion["id"],
        "deleted": True,
    }
    assert await client.history() == []
