"""Sending prompts, and what reaches the provider."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message as ASGIMessage

from llamakeep.domain import Message, Parameters, Usage
from llamakeep.providers.base import Finished
from llamakeep.settings import Settings
from tests.api.serving import ALICE, BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

EVERYTHING: dict[str, Any] = {
    "max_tokens": 100,
    "min_tokens": 10,
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40,
    "presence_penalty": 1.5,
    "frequency_penalty": -1.5,
    "stop": ["END", "###"],
    "seed": 42,
}


async def test_an_answer_says_how_it_came_about(client: Client) -> None:
    response = await client.post("/prompt/", json=PROMPT)

    answer = response.json()
    assert response.status_code == 200
    assert answer.pop("id").startswith("run_")
    assert answer.pop("conversation_id").startswith("conv_")
    for moment in ("created_at", "started_at", "first_word_at", "finished_at"):
        assert answer.pop(moment).endswith("Z")
    assert answer == {
        "response": "Hello, world",
        "status": "succeeded",
        "model": "scripted:parrot",
        "resolved_model": "parrot",
        "finish_reason": "stop",
        "usage": {
            "input_tokens": 7,
            "output_tokens": 3,
            "cost_usd": None,
            "cached_tokens": None,
            "reasoning_tokens": None,
        },
        "error": None,
        "output": None,
        "previous_run_id": None,
        "source": "prompt",
        "store": True,
    }


async def test_unknown_usage_is_null_and_not_zero(settings: Settings) -> None:
    provider = ScriptedProvider(finished=Finished(None, Usage()))

    async with connect(settings, provider) as client:
        answer = (await client.post("/prompt/", json=PROMPT)).json()

    assert set(answer["usage"].values()) == {None}
    assert answer["finish_reason"] is None


async def test_any_text_comes_back_as_it_was(settings: Settings) -> None:
    text = ' \t"\\ \u2028 \u0085 \U0001f999 e\u0301 \x1b \ufeff \uffff\r\n'

    async with connect(settings, ScriptedProvider([*text])) as client:
        plain = await client.post("/prompt/", json={"prompt": text})
        events = await client.events(
            "POST", "/prompt/", json={"prompt": text, "stream": True}
        )
        kept = await client.history()

    assert plain.json()["response"] == text
    assert "".join(e.data["text"] for e in events if e.event == "delta") == text
    assert [(one["prompt"], one["response"]) for one in kept] == [(text, text)] * 2


async def test_a_stream_brings_the_run_its_deltas_and_the_whole_answer(
    client: Client,
) -> None:
    events = await client.events("POST", "/prompt/", json=PROMPT | {"stream": True})

    [kept] = await client.history()
    assert [one.event for one in events] == ["run", "delta", "delta", "delta", "done"]
    assert events[0].data == {
        "id": kept["id"],
        "model": "scripted:parrot",
        "conversation_id": kept["conversation_id"],
    }
    assert [one.data["text"] for one in events[1:-1]] == ["Hello", ", ", "world"]
    assert [one.id for one in events[1:-1]] == ["5", "7", "12"]
    assert events[-1].data == {key: kept[key] for key in events[-1].data}


async def test_a_client_that_accepts_only_events_gets_events(client: Client) -> None:
    response = await client.post(
        "/prompt/", json=PROMPT, headers={"Accept": "text/event-stream"}
    )

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.text.startswith("event: run\n")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/event-stream, application/json"]
)
async def test_a_client_that_accepts_more_than_events_gets_json(
    client: Client, accept: str
) -> None:
    response = await client.post("/prompt/", json=PROMPT, headers={"Accept": accept})

    assert response.json()["response"] == "Hello, world"


async def test_a_background_prompt_is_accepted_before_it_is_answered(
    settings: Settings,
) -> None:
    answered = asyncio.Event()

    async with connect(settings, ScriptedProvider([answered, "Done"])) as client:
        response = await client.post("/prompt/", json=PROMPT | {"background": True})
        answered.set()
        ended = await client.ended(response.json()["id"])

    assert response.status_code == 202
    assert response.headers["location"] == f"/history/{ended['id']}"
    assert response.json()["status"] in {"queued", "starting", "processing"}
    assert response.json()["response"] == ""
    assert (ended["status"], ended["response"]) == ("succeeded", "Done")


async def test_every_parameter_reaches_the_provider_and_the_history(
    client: Client, provider: ScriptedProvider
) -> None:
    await client.post("/prompt/", json=PROMPT | EVERYTHING)

    [request] = provider.requests
    [kept] = await client.history()
    expected = EVERYTHING | {"stop": ("END", "###")}
    assert request.parameters == Parameters(**expected)
    assert kept["parameters"] == EVERYTHING


async def test_one_text_to_stop_at_needs_no_list(
    client: Client, provider: ScriptedProvider
) -> None:
    await client.post("/prompt/", json=PROMPT | {"stop": "END"})

    assert provider.requests[0].parameters.stop == ("END",)


@pytest.mark.parametrize("parameter", EVERYTHING)
async def test_a_parameter_that_the_model_cannot_honour_is_refused(
    settings: Settings, parameter: str
) -> None:
    provider = ScriptedProvider(unsupported=frozenset({parameter}))

    async with connect(settings, provider) as client:
        response = await client.post("/prompt/", json=PROMPT | EVERYTHING)
        kept = await client.history()

    assert response.status_code == 422
    assert response.json()["type"] == "urn:llamakeep:problem:unsupported-parameter"
    assert parameter in response.json()["detail"]
    assert (provider.requests, kept) == ([], [])


async def test_a_parameter_that_is_not_given_is_left_to_the_provider(
    client: Client, provider: ScriptedProvider
) -> None:
    await client.post("/prompt/", json=PROMPT | dict.fromkeys(EVERYTHING))

    assert provider.requests[0].parameters == Parameters()
    assert (await client.history())[0]["parameters"] == {}


@pytest.mark.parametrize("name", ["second", "other:second", "vendor/name:tag"])
async def test_a_model_may_be_named_with_and_without_its_provider(
    settings: Settings, name: str
) -> None:
    other = ScriptedProvider(
        ["It is me"], name="other", models=["second", "vendor/name:tag"]
    )

    async with connect(settings, ScriptedProvider(), other) as client:
        response = await client.post("/prompt/", json=PROMPT | {"model": name})

    assert response.json()["response"] == "It is me"
    assert response.json()["model"].startswith("other:")


async def test_the_settings_may_name_the_default_model(settings: Settings) -> None:
    other = ScriptedProvider(["It is me"], name="other", models=["first", "second"])
    chosen = settings.model_copy(update={"default_model": "other:second"})

    async with connect(chosen, ScriptedProvider(), other) as client:
        response = await client.post("/prompt/", json=PROMPT)

    assert response.json()["model"] == "other:second"


async def test_a_prompt_without_any_model_says_what_to_do(settings: Settings) -> None:
    async with connect(settings) as client:
        response = await client.post("/prompt/", json=PROMPT)
        kept = await client.history()

    assert response.status_code == 503
    assert response.json()["type"] == "urn:llamakeep:problem:no-provider"
    for way in ("REPLICATE_API_TOKEN", "LLAMAKEEP_OPENAI_BASE_URL", "llamakeep[local]"):
        assert way in response.json()["detail"]
    assert kept == []


async def test_a_conversation_goes_on_with_what_was_said(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await client.post(
        "/prompt/", json={"prompt": "Hi", "system_prompt": "Be kind"}
    )
    conversation_id = first.json()["conversation_id"]

    second = await client.post(
        "/prompt/", json={"prompt": "And now?", "conversation_id": conversation_id}
    )

    assert second.json()["conversation_id"] == conversation_id
    assert provider.requests[1].messages == (
        Message("system", "Be kind"),
        Message("user", "Hi"),
        Message("assistant", "Hello, world"),
        Message("user", "And now?"),
    )


async def test_a_failed_run_is_not_part_of_its_conversation(
    client: Client, provider: ScriptedProvider
) -> None:
    first = (await client.post("/prompt/", json={"prompt": "Hi"})).json()
    go_on = {"conversation_id": first["conversation_id"]}
    provider.script = ["What I", ZeroDivisionError()]
    await client.post("/prompt/", json={"prompt": "Fail"} | go_on)
    provider.script = ["Fine"]

    await client.post("/prompt/", json={"prompt": "Again"} | go_on)

    said = [message.content for message in provider.requests[-1].messages]
    assert said == ["Hi", "Hello, world", "Again"]


@pytest.mark.parametrize("whose", ["nobody's", "bob's"])
async def test_a_conversation_that_is_not_yours_cannot_be_gone_on_with(
    client: Client, provider: ScriptedProvider, whose: str
) -> None:
    bobs = await client.post("/prompt/", json=PROMPT, headers=BOB)
    conversation_id = {
        "bob's": bobs.json()["conversation_id"],
        "nobody's": "conv_00000000000000000000000000",
    }[whose]

    response = await client.post(
        "/prompt/", json=PROMPT | {"conversation_id": conversation_id}
    )

    assert response.status_code == 404
    assert response.json()["type"] == "urn:llamakeep:problem:conversation-not-found"
    assert len(provider.requests) == 1
    assert await client.history() == []


async def test_metadata_is_kept_and_not_shown_to_the_provider(
    client: Client, provider: ScriptedProvider
) -> None:
    metadata = {"project": "llama", "n\u00e9e": ""}

    await client.post("/prompt/", json=PROMPT | {"metadata": metadata})

    [kept] = await client.history()
    assert kept["metadata"] == metadata
    assert "llama" not in repr(provider.requests)


async def test_a_full_queue_refuses_prompts_and_keeps_nothing_of_them(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    small = settings.model_copy(update={"max_running": 1, "max_queued": 1})

    async with connect(small, ScriptedProvider([go_on, "Done"])) as client:
        begun = [await client.begin(), await client.begin()]
        refused = await client.post("/prompt/", json=PROMPT)
        go_on.set()
        ended = [await client.ended(run_id) for run_id in begun]

    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:llamakeep:problem:server-busy"
    assert int(refused.headers["retry-after"]) >= 1
    assert [one["status"] for one in ended] == ["succeeded"] * 2


async def test_a_client_that_leaves_does_not_stop_its_run(settings: Settings) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["First", go_on, " and last"])

    async with connect(settings, provider) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post("/prompt/", json=PROMPT), 0.2)
        go_on.set()
        [kept] = await client.history()
        ended = await client.ended(kept["id"])

    assert (ended["status"], ended["response"]) == ("succeeded", "First and last")


async def test_whoever_leaves_before_all_is_sent_is_no_error_of_the_server(
    settings: Settings,
) -> None:
    half = {"type": "http.request", "body": b'{"prompt"', "more_body": True}
    messages: Iterator[ASGIMessage] = iter([half, {"type": "http.disconnect"}])
    answered: list[ASGIMessage] = []

    async def receive() -> ASGIMessage:
        return next(messages)

    async def send(message: ASGIMessage) -> None:
        answered.append(message)

    async with connect(settings, ScriptedProvider()) as client:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/prompt/",
            "query_string": b"",
            "headers": [
                (b"authorization", ALICE["Authorization"].encode()),
                (b"content-type", b"application/json"),
            ],
        }
        await client.app(scope, receive, send)

        assert answered == []
        assert await client.history() == []
