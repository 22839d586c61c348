"""How much a model is given, and what it costs to ask for it, by every door."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ByteSize

from llamakeep.settings import Settings
from tests.api.openai.responding import ask, said
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

MOST = 64 * 1024


@pytest.fixture
async def client(
    settings: Settings, provider: ScriptedProvider
) -> AsyncIterator[Client]:
    """A server that gives a model 64 KiB, and takes requests of 40."""
    bounds = {"max_context_size": ByteSize(MOST), "max_body_size": ByteSize(40 * 1024)}
    async with connect(settings.model_copy(update=bounds), provider) as client:
        yield client


async def kept(client: Client) -> int:
    """Return how many bytes all texts of alice's history have."""
    response = await client.get("/history/export")
    return len(response.content)


FOLLOWING: dict[str, Any] = {
    "POST /prompt/": ("/prompt/", {"prompt": "And?"}, "conversation_id"),
    "POST /prompt/ streamed": (
        "/prompt/",
        {"prompt": "And?", "stream": True},
        "conversation_id",
    ),
    "POST /prompt/ in the background": (
        "/prompt/",
        {"prompt": "And?", "background": True},
        "conversation_id",
    ),
    "POST /v1/responses": ("/v1/responses", {"input": "And?"}, "conversation"),
    "POST /v1/responses behind one": (
        "/v1/responses",
        {"input": "And?"},
        "previous_response_id",
    ),
}


@pytest.mark.parametrize("way", FOLLOWING)
async def test_what_follows_more_than_a_model_is_given_is_refused_and_says_so(
    client: Client, provider: ScriptedProvider, way: str
) -> None:
    path, body, field = FOLLOWING[way]
    name = "prompt" if path == "/prompt/" else "input"
    first = (await client.post("/prompt/", json={"prompt": "x" * 30_000})).json()
    topic = first["conversation_id"]
    second = await client.post(
        "/prompt/", json={"prompt": "x" * 30_000, "conversation_id": topic}
    )
    assert second.status_code == 200
    place = topic
    if field == "previous_response_id":
        place = "resp_" + second.json()["id"].removeprefix("run_")
    asked, before = len(provider.requests), await kept(client)

    short = await client.post(path, json=body | {field: place})
    too_much = {field: place, name: "x" * 9000}
    long = await client.post(path, json=body | too_much)

    assert short.status_code in {200, 202}
    assert long.status_code == (422 if path == "/prompt/" else 400)
    assert "Begin another conversation" in long.text
    code = "context-too-large" if path == "/prompt/" else "context_length_exceeded"
    assert code in long.text
    assert len(provider.requests) <= asked + 1
    assert await kept(client) - before < 5000


async def test_an_item_cannot_be_named_twice(client: Client) -> None:
    first = await ask(client, "x" * 1000)
    item = {"id": f"msg_{first['id'].removeprefix('resp_')}_0"}
    body = {"input": [item, item, {"role": "user", "content": "And?"}]}

    response = await client.post("/v1/responses", json=body)

    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "input[1].id"
    assert "named already" in error["message"]


async def test_items_that_are_named_are_no_more_than_could_be_sent(
    client: Client,
) -> None:
    ids = [(await ask(client, "x" * 15_000))["id"] for _ in range(3)]
    items = [{"id": f"msg_{each.removeprefix('resp_')}_0"} for each in ids]
    prompt = {"role": "user", "content": "And?"}
    before = await kept(client)

    two = await client.post("/v1/responses", json={"input": [*items[:2], prompt]})
    three = await client.post("/v1/responses", json={"input": [*items, prompt]})

    assert two.status_code == 200
    assert three.status_code == 400
    assert three.json()["error"]["code"] == "context_length_exceeded"
    assert await kept(client) - before < 32_000


async def test_a_request_keeps_no_more_than_it_sends_and_the_user_has(
    client: Client, provider: ScriptedProvider
) -> None:
    """Whatever is asked behind whatever: nothing in the history is there twice."""
    body = {"prompt": "x" * 10_000}
    first = (await client.post("/prompt/", json=body)).json()
    place = {"conversation_id": first["conversation_id"]}
    run_id = first["id"].removeprefix("run_")
    before = await kept(client)

    for _ in range(3):
        await client.post("/prompt/", json={"prompt": "And?", **place})
    await ask(client, "And?", previous_response_id=f"resp_{run_id}")
    after_links = await kept(client) - before
    items = [{"id": f"msg_{run_id}_0"}, {"role": "user", "content": "And?"}]
    await ask(client, items)
    after_reference = await kept(client) - before - after_links

    assert said(provider)[0] == ("user", "x" * 10_000)
    assert after_links < 5000
    assert after_reference < 12_000


async def test_what_came_in_with_a_response_can_be_listed_in_a_long_conversation(
    client: Client,
) -> None:
    first = await ask(client, "1")
    second = await ask(client, "2", previous_response_id=first["id"])

    listed = await client.get(f"/v1/responses/{second['id']}/input_items?order=asc")

    texts = [item["content"][0]["text"] for item in listed.json()["data"]]
    assert texts == ["1", "Hello, world", "2"]
