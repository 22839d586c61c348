"""Asking for responses, for tests of OpenAI's Responses API."""

import asyncio
import json
from typing import Any

from tests.api.serving import Client
from tests.fakes import ScriptedProvider

NOBODYS = "resp_0123456789abcdefghjkmnpqrs"


async def ask(client: Client, given: Any = "Hi", /, **fields: Any) -> dict[str, Any]:
    response = await client.post("/v1/responses", json={"input": given, **fields})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def refusal(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return why a request is refused that may have lone surrogates in it."""
    content = json.dumps({"input": "Hi", **body})
    response = await client.post(
        "/v1/responses", content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


def said(provider: ScriptedProvider) -> list[tuple[str, str]]:
    """Return what the model read last."""
    return [(one.role, one.content) for one in provider.requests[-1].messages]


def text_of(response: dict[str, Any]) -> str:
    return str(response["output"][0]["content"][0]["text"])


async def first_run(client: Client) -> str:
    """Wait until there is a run of alice's, and return its id."""
    for _ in range(500):
        if history := await client.history():
            return str(history[0]["id"])
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was asked")
