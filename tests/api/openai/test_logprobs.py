"""How likely the tokens of answers were: streamed, kept, exported and imported."""

import asyncio
import json
from typing import Any

import pytest

from llamakeep.domain import Reasoning, Text, ToolCall
from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.base import ItemBegun, ItemText, Logprobs
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, events
from tests.api.serving import BOB, Client, connect
from tests.fakes import Line, ScriptedProvider

ASKED = HI | {"logprobs": True, "top_logprobs": 0}


def likely(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -1.5, "bytes": None, "top_logprobs": []}


def said(token: str) -> tuple[Line, Line]:
    return Logprobs(json.dumps(likely(token))), token


PLAIN = [*said("Hello"), *said(" you")]
MIXED = [
    ItemBegun(Reasoning()),
    ItemText("Hm"),
    ItemBegun(Text()),
    *said("I"),
    *said(" look."),
    ItemBegun(ToolCall("call_1", "f")),
    ItemText("{}"),
    ItemBegun(Text()),
    *said(" Wait."),
    Logprobs(json.dumps(likely("<eos>"))),
]


def tokens_in(choice: dict[str, Any]) -> list[str]:
    content = (choice["logprobs"] or {"content": []})["content"]
    return [one["token"] for one in content]


async def streamed(client: Client) -> list[tuple[str, list[str]]]:
    """Return the texts of chunks, each with the tokens that came with it."""
    response = await client.post(CHAT, json=ASKED | {"stream": True})
    found = events(response, may_be_silent=True)
    choices = [one["choices"][0] for one in found[:-1]]
    said = [(one["delta"].get("content") or "", tokens_in(one)) for one in choices]
    return [one for one in said if one != ("", [])]


@pytest.mark.parametrize(
    ("script", "tokens"),
    [(PLAIN, ["Hello", " you"]), (MIXED, ["I", " look.", " Wait."])],
)
async def test_they_are_streamed_with_their_text_and_kept_with_it(
    settings: Settings, script: list[Line], tokens: list[str]
) -> None:
    async with connect(settings, ScriptedProvider(script)) as client:
        pieces = await streamed(client)
        whole = (await client.post(CHAT, json=ASKED)).json()
        again = (await client.get(f"{CHAT}/{whole['id']}")).json()

    # Texts that came together are one piece.
    assert "".join(text for text, _ in pieces) == "".join(tokens)
    assert [token for _, some in pieces for token in some] == tokens
    assert all(text == "".join(some) for text, some in pieces)
    assert tokens_in(whole["choices"][0]) == tokens_in(again["choices"][0]) == tokens
    assert whole["choices"] == again["choices"]


async def test_who_follows_a_stored_run_gets_them_at_its_end(
    settings: Settings,
) -> None:
    key = {"Idempotency-Key": "1"}
    async with connect(settings, ScriptedProvider(PLAIN)) as client:
        await client.post(CHAT, json=ASKED, headers=key)
        response = await client.post(CHAT, json=ASKED | {"stream": True}, headers=key)

    found = events(response, may_be_silent=True)
    choices = [one["choices"][0] for one in found[:-1]]
    assert [one["delta"].get("content") for one in choices[1:]] == [
        "Hello you",
        None,
        None,
    ]
    assert [tokens_in(one) for one in choices[1:]] == [[], ["Hello", " you"], []]


async def test_they_survive_an_export_and_an_import(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(MIXED)) as client:
        await client.post(CHAT, json=ASKED)
        exported = (await client.get("/history/export")).text
        imported = await client.post(
            "/history/import",
            content=exported,
            headers=BOB | {"Content-Type": "application/x-ndjson"},
        )
        again = (await client.get("/history/export", headers=BOB)).text

    assert imported.status_code == 200, imported.text
    run, copied = json.loads(exported), json.loads(again)
    assert run["output"] == copied["output"]
    assert (
        run["parameters"]
        == copied["parameters"]
        == {
            "logprobs": True,
            "top_logprobs": 0,
        }
    )


async def test_an_answer_that_breaks_off_keeps_its_text_alone(
    settings: Settings,
) -> None:
    script = [*said("Hello"), asyncio.Event(), ProviderUnavailable("gone")]
    script[-2].set()  # type: ignore[union-attr]
    async with connect(settings, ScriptedProvider(script)) as client:
        response = await client.post(CHAT, json=ASKED)
        [kept] = await client.history()

    assert response.status_code == 503
    assert (kept["response"], kept["output"]) == ("Hello", None)


async def test_a_plain_answer_has_none(client: Client) -> None:
    whole = (await client.post(CHAT, json=HI)).json()
    [kept] = await client.history()

    assert whole["choices"][0]["logprobs"] is None
    assert kept["output"] is None
    refused = await client.post(CHAT, json=HI | {"top_logprobs": 2})
    assert refused.json()["error"]["param"] == "top_logprobs"
