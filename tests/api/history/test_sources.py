"""What runs came through, and when their first words came."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from llamakeep.domain import ToolCall
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.serving import BOB, PROMPT, PROMPTS, Client, connect
from tests.fakes import EmbeddingProvider, ScriptedProvider

MESSAGES = {"model": "parrot", "messages": [{"role": "user", "content": "Hi"}]}
ITEM = {"type": "message", "role": "user", "content": "Hi"}
SOURCES: list[tuple[str, dict[str, Any], str]] = [
    ("/prompt/", PROMPT, "prompt"),
    ("/v1/chat/completions", PROMPTS["/v1/chat/completions"], "chat-completions"),
    ("/v1/completions", PROMPTS["/v1/completions"], "completions"),
    ("/v1/responses", {"model": "parrot", "input": "Hi"}, "responses"),
    ("/v1/embeddings", {"model": "counter", "input": "Hi"}, "embeddings"),
    ("/v1/conversations", {"items": [ITEM]}, "conversations"),
    ("/v1/messages", MESSAGES | {"max_tokens": 9}, "messages"),
    (
        "/replicate/v1/models/scripted/parrot/predictions",
        {"input": {"prompt": "Hi"}},
        "predictions",
    ),
]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("path", "body", "source"), SOURCES)
async def test_a_run_says_what_it_came_through(
    settings: Settings, path: str, body: dict[str, Any], source: str
) -> None:
    words = EmbeddingProvider(name="words", models=["counter"])
    async with connect(settings, ScriptedProvider(), words) as client:
        response = await client.post(path, json=body)
        runs = await client.history()
        await client.ended(runs[0]["id"])

        found = (await client.get(f"/history/?source={source}")).json()["history"]
        other = "completions" if source == "prompt" else "prompt"
        none = (await client.get(f"/history/?source={other}")).json()["history"]
        [stats] = (await client.get("/history/stats?by=source")).json()["stats"]

    assert response.status_code in {200, 201}, response.text
    assert {each["source"] for each in (*runs, *found)} == {source}
    assert len(found) == len(runs) > 0
    assert (none, stats["group"]) == ([], source)


async def test_a_run_says_when_its_first_word_came(settings: Settings) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["He", go_on, "llo"])
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "He")
        going_on = (await client.get(f"/history/{run_id}")).json()
        go_on.set()
        run = await client.ended(run_id)
        [stats] = (await client.get("/history/stats?first_words=true")).json()["stats"]

    assert going_on["first_word_at"] == run["first_word_at"]
    begun, first, end = (
        moment(run[name]) for name in ("created_at", "first_word_at", "finished_at")
    )
    assert begun <= first <= end
    passed = (first - begun).total_seconds()
    assert stats["first_word"] == dict.fromkeys(("p50", "p90", "p99"), passed)


async def test_where_nothing_was_said_there_is_no_first_word(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider([])) as client:
        run = (await client.post("/prompt/", json=PROMPT)).json()
        [stats] = (await client.get("/history/stats?first_words=true")).json()["stats"]

    assert (run["first_word_at"], run["status"]) == (None, "succeeded")
    assert set(stats["first_word"].values()) == {None}


async def test_both_are_exported_and_imported(client: Client) -> None:
    await client.post("/v1/completions", json=PROMPTS["/v1/completions"])
    exported = (await client.get("/history/export")).content
    older = json.loads(exported)
    del older["source"], older["first_word_at"]
    older["id"] = older["id"][:-1] + ("0" if older["id"][-1] != "0" else "1")
    lines = exported + json.dumps(older).encode()

    jsonl = {"Content-Type": "application/x-ndjson"}
    moved = await client.post("/history/import", content=lines, headers=BOB | jsonl)

    assert moved.status_code == 200, moved.text
    [his] = await client.history()
    found = {
        (run["source"], run["first_word_at"]) for run in await client.history(**BOB)
    }
    assert found == {("completions", his["first_word_at"]), ("import", None)}


@pytest.mark.parametrize(
    "script", [[ItemBegun(ToolCall("a", "look")), ItemText("{}")], ["", "Hi"]]
)
async def test_a_call_of_a_tool_has_a_first_word_too(
    settings: Settings, script: list[Any]
) -> None:
    async with connect(settings, ScriptedProvider(script)) as client:
        run = (await client.post("/prompt/", json=PROMPT)).json()

    assert run["created_at"] <= run["first_word_at"] <= run["finished_at"]
