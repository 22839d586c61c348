"""Counting the tokens of a response's prompt before it is asked for."""

from typing import Any

import pytest

from llamakeep.settings import Settings
from tests.api.openai.responding import ask
from tests.api.serving import Client, connect
from tests.fakes import CountingProvider

COUNT = "/v1/responses/input_tokens"


async def test_tokens_are_counted_with_what_was_said_before(
    settings: Settings,
) -> None:
    tool = {"type": "function", "name": "f"}
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [tool]}
    async with connect(settings, CountingProvider()) as client:
        first = await ask(client, "One")
        response = await client.post(
            COUNT,
            json={
                "input": "Two",
                "instructions": "Be brief.",
                "previous_response_id": first["id"],
                "tools": [tool],
                "tool_choice": choice,
            },
        )
        kept = await client.history()

    counted = len("Be brief." + "One" + "Hello, world" + "Two")
    assert response.json() == {
        "object": "response.input_tokens",
        "input_tokens": counted,
    }
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "model"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].id"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ],
)
async def test_what_cannot_be_counted_is_refused_by_name(
    client: Client, fields: dict[str, Any], param: str
) -> None:
    response = await client.post(COUNT, json={"input": "Hi", **fields})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert await client.history() == []
