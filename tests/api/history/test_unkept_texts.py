"""Prompts with `store: false`: kept while they are answered, and erased at the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from llamakeep.domain import Reasoning, ToolCall
from llamakeep.engine.updates import LONG
from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.base import Finished, ItemBegun, ItemText
from llamakeep.settings import Settings
from llamakeep.storage.database import sqlite
from tests.api.openai.client import events
from tests.api.serving import Client, connect
from tests.api.test_canaries import files
from tests.fakes import ScriptedProvider
from tests.waiting import until

MESSAGES = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/prompt/": {"prompt": "Hi", "system_prompt": "S", "stop": ["Z"]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/chat/completions": {"messages": MESSAGES, "stop": ["Z"]},
    "/v1/responses": {"input": "Hi", "instructions": "S"},
}
UNKEPT = {"store": False}


async def only_run(client: Client) -> dict[str, Any]:
    [run] = await client.history()
    shown: dict[str, Any] = (await client.get(f"/history/{run['id']}")).json()
    assert shown == run
    return shown


@pytest.mark.parametrize("path", BODIES)
async def test_what_is_not_to_be_stored_is_answered_and_then_gone(
    client: Client, path: str
) -> None:
    tags = {"metadata": {"project": "llamas"}} if path != "/v1/completions" else {}

    response = await client.post(path, json=BODIES[path] | UNKEPT | tags)

    assert response.status_code == 200
    assert "Hello, world" in response.text
    if path in {"/prompt/", "/v1/responses"}:
        assert response.json()["store"] is False
    run = await only_run(client)
    assert (run["prompt"], run["response"], run["system_prompt"]) == ("", "", None)
    assert (run["last_message"], run["output"], run["parameters"]) == (None, None, {})
    assert (run["store"], run["status"]) == (False, "succeeded")
    assert run["model"] == "scripted:parrot"
    assert run["usage"] == {
        "input_tokens": 7,
        "output_tokens": 3,
        "cost_usd": None,
        "cached_tokens": None,
        "reasoning_tokens": None,
    }
    assert run["metadata"] == tags.get("metadata", {})
    assert run["created_at"] < run["finished_at"]
    for word in ("hi", "hello"):
        assert (await client.get(f"/history/?q={word}")).json()["history"] == []


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_of_what_is_not_stored_is_whole(
    client: Client, path: str
) -> None:
    response = await client.post(path, json=BODIES[path] | UNKEPT | {"stream": True})

    assert response.status_code == 200
    for piece in ("Hello", ", ", "world"):
        assert json.dumps(piece) in response.text
    assert "error" not in response.text.replace('"error":null', "")
    if path == "/prompt/":
        assert '"response":"Hello, world"' in response.text
    assert (await only_run(client))["response"] == ""


async def test_a_long_answer_that_is_not_stored_is_read_to_its_end(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["x" * LONG, "y"]
    body = {"prompt": "Hi", "stream": True, **UNKEPT}

    found = await client.events("POST", "/prompt/", json=body)

    said = "".join([each.data["text"] for each in found if each.event == "delta"])
    assert said == "x" * LONG + "y"
    assert found[-1].event == "done"


async def test_whoever_comes_after_the_end_is_told_that_the_text_is_gone(
    client: Client,
) -> None:
    answer = (await client.post("/v1/responses", json={"input": "Hi", **UNKEPT})).json()
    number = answer["id"].removeprefix("resp_")

    own = await client.get(f"/history/run_{number}/stream?starting_after=3")
    response = await client.get(f"/v1/responses/resp_{number}?stream=true")
    items = await client.get(f"/v1/responses/resp_{number}/input_items")
    read = (await client.get(f"/v1/responses/resp_{number}")).json()
    chat = (await client.get(f"/v1/chat/completions/chatcmpl-{number}")).json()
    prediction = (await client.get(f"/replicate/v1/predictions/{number}")).json()

    assert own.status_code == 410
    assert own.json()["type"] == "urn:llamakeep:problem:text-not-kept"
    assert f"run_{number}" in own.json()["detail"]
    for each in (response, items):
        assert (each.status_code, each.json()["error"]["code"]) == (
            404,
            "text_not_kept",
        )
    assert (read["status"], read["store"], read["output"]) == ("completed", False, [])
    assert (chat["store"], chat["choices"][0]["message"]["content"]) == (False, "")
    assert (prediction["data_removed"], prediction["output"]) == (True, None)
    assert prediction["input"] == {"prompt": ""}


@pytest.mark.parametrize("path", BODIES)
async def test_a_request_that_is_repeated_after_the_end_gets_no_other_answer(
    client: Client, provider: ScriptedProvider, path: str
) -> None:
    headers = {"Idempotency-Key": "k"}
    await client.post(path, json=BODIES[path] | UNKEPT, headers=headers)

    again = await client.post(path, json=BODIES[path] | UNKEPT, headers=headers)
    other = await client.post(path, json=BODIES[path], headers=headers)

    run = await only_run(client)
    assert again.status_code == (410 if path == "/prompt/" else 404)
    assert run["id"] in again.text
    assert "another Idempotency-Key" in again.text
    assert other.status_code == 422
    assert len(provider.requests) == 1


async def test_nothing_can_follow_what_was_not_stored(
    client: Client, provider: ScriptedProvider
) -> None:
    first = (await client.post("/v1/responses", json={"input": "One"})).json()
    talk = {"conversation": first["conversation"]["id"]}
    second = (
        await client.post("/v1/responses", json={"input": "Two", **talk, **UNKEPT})
    ).json()

    refused = await client.post(
        "/v1/responses",
        json={"input": "Three", "previous_response_id": second["id"]},
    )
    reference = {"type": "item_reference", "id": second["output"][0]["id"]}
    named = await client.post("/v1/responses", json={"input": [reference]})
    third = await client.post("/v1/responses", json={"input": "Three", **talk})

    assert refused.status_code == named.status_code == 400
    assert refused.json()["error"]["code"] == "run_not_answered"
    assert "not to be stored" in refused.json()["error"]["message"]
    assert "not to be stored" in named.json()["error"]["message"]
    assert third.status_code == 200
    said = [message.content for message in provider.requests[-1].messages]
    assert said == ["One", "Hello, world", "Three"]
    second_read = [message.content for message in provider.requests[1].messages]
    assert second_read == ["One", "Hello, world", "Two"]


async def test_no_other_request_has_what_is_not_stored_while_it_is_answered(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["Hel", asyncio.Event()]
    asking = asyncio.create_task(
        client.post("/prompt/", json={"prompt": "One", **UNKEPT})
    )
    await until(lambda: len(provider.requests) == 1)
    [run] = await client.history()
    reference = {"type": "item_reference", "id": f"msg_{run['id'][4:]}_0"}

    named = await client.post("/v1/responses", json={"input": [reference]})
    await client.post(f"/history/{run['id']}/cancel")
    canceled = await asking

    assert named.status_code == 400
    assert "not to be stored" in named.json()["error"]["message"]
    assert canceled.json()["detail"].startswith("The run was canceled. (Its texts")
    assert len(await client.history()) == 1


@pytest.mark.parametrize("path", ["/prompt/", "/v1/responses"])
async def test_what_is_not_stored_cannot_be_read_later(
    client: Client, provider: ScriptedProvider, path: str
) -> None:
    response = await client.post(
        path, json=BODIES[path] | UNKEPT | {"background": True}
    )

    assert response.status_code == (422 if path == "/prompt/" else 400)
    assert "Nothing was stored" in response.text
    assert provider.requests == []
    assert await client.history() == []


async def test_a_failure_is_told_and_its_words_are_erased(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["Half", ProviderUnavailable("It does not like 'Hi'.")]

    response = await client.post("/prompt/", json={"prompt": "Hi", **UNKEPT})

    assert "It does not like" in response.json()["detail"]
    run = await only_run(client)
    assert (run["status"], run["prompt"], run["response"]) == ("failed", "", "")
    assert run["error"] == {"type": "provider-unavailable", "detail": ""}
    stream = await client.events("GET", f"/history/{run['id']}/stream")
    assert [each.event for each in stream] == ["run", "error"]


async def test_what_is_not_stored_is_exported_and_imported_without_text(
    client: Client,
) -> None:
    await client.post("/prompt/", json={"prompt": "Kept"})
    await client.post("/prompt/", json={"prompt": "Hi", "end_user": "4711", **UNKEPT})
    before = (await client.get("/history/export")).content
    [kept, unkept] = [json.loads(line) for line in before.splitlines()]
    await client.delete("/history/?all=true")
    with_text = json.dumps(unkept | {"prompt": "Hi", "response": "Hello"}).encode()

    sent = await client.post(
        "/history/import",
        content=b"\n".join([json.dumps(kept).encode(), with_text]),
        headers={"Content-Type": "application/x-ndjson"},
    )

    assert sent.json() == {"imported": 2, "known": 0}
    assert (await client.get("/history/export")).content == before
    assert (kept["store"], unkept["store"]) == (True, False)
    listed = (await client.get("/conversations/")).json()["conversations"]
    assert [each["title"] for each in listed] == ["", "Kept"]
    assert (await client.delete("/history/?end_user=4711")).json() == {"deleted": 1}
    assert (await client.get("/history/?q=kept")).json()["history"] != []


@pytest.fixture
async def erasing(
    settings: Settings, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """A server that writes often, and empties its log at once."""
    monkeypatch.setattr(sqlite, "ERASED_AFTER", 0)
    often = settings.model_copy(update={"flush_interval": 0.01})
    async with connect(often, provider) as client:
        yield client


@pytest.mark.slow
async def test_no_byte_of_what_is_not_stored_stays_in_the_files(
    erasing: Client, settings: Settings, provider: ScriptedProvider
) -> None:
    client = erasing
    go_on = asyncio.Event()
    url = make_url(settings.database_url)
    asked = ["zyprompt", "zysystem", "zybefore", "zytool", "zystop"]
    said = ["zytext", "zythought", "zycall", "zyargument"]
    provider.script = [
        ItemBegun(Reasoning("")),
        ItemText(said[1]),
        ItemBegun(ToolCall("c", said[2], "")),
        ItemText(f'{{"a": "{said[3]}"}}'),
        said[0],
        go_on,
    ]
    provider.finished = Finished("stop")
    tool = {"type": "function", "function": {"name": asked[3], "parameters": {}}}
    body = {
        "messages": [
            {"role": "system", "content": asked[1]},
            {"role": "user", "content": "A"},
            {"role": "assistant", "content": asked[2]},
            {"role": "user", "content": f"{asked[0]} " * 5000},
        ],
        "tools": [tool],
        "stop": [asked[4]],
        "store": False,
    }

    asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))

    async def is_durable() -> bool:
        there = await files(url)
        return all(word.encode() in there for word in (*asked, *said))

    await until(is_durable)
    go_on.set()
    response = await asking
    provider.script = ["Fine"]
    await client.post("/prompt/", json={"prompt": "What is kept"})
    await client.storage.index_finished()
    await client.storage.erase_copies()

    async def is_gone() -> bool:
        there = await files(url)
        return not any(word.encode() in there for word in (*asked, *said))

    assert said[0] in response.text
    await until(is_gone)
    assert b"What is kept" in await files(url)


async def test_a_chat_that_is_not_stored_ends_as_others_do(client: Client) -> None:
    body = BODIES["/v1/chat/completions"] | {"stream": True}

    kept = events(await client.post("/v1/chat/completions", json=body))
    unkept = events(await client.post("/v1/chat/completions", json=body | UNKEPT))

    choices = [
        [one if one == "[DONE]" else one["choices"] for one in each]
        for each in (kept, unkept)
    ]
    assert choices[0] == choices[1]
