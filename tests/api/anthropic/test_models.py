"""Models and counts of tokens, as clients of Anthropic's API ask for them."""

from typing import Any

import pytest

from llamakeep.settings import Settings
from tests.api.anthropic.client import HI, MESSAGES, error
from tests.api.serving import Client, connect
from tests.fakes import CountingProvider, ScriptedProvider

VERSION = {"anthropic-version": "2023-06-01"}
COUNT = f"{MESSAGES}/count_tokens"
ASKED = {"messages": HI["messages"]}


def shown(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": f"scripted:{name}",
        "display_name": f"scripted:{name}",
        "created_at": "1970-01-01T00:00:00Z",
        "max_input_tokens": None,
        "max_tokens": None,
        "capabilities": None,
    }


async def test_models_are_anthropics_for_its_clients_alone(client: Client) -> None:
    theirs = await client.get("/v1/models", headers=VERSION)
    one = await client.get("/v1/models/scripted:parrot", headers=VERSION)
    openais = await client.get("/v1/models")

    assert theirs.json() == {
        "data": [shown("parrot")],
        "first_id": "scripted:parrot",
        "last_id": "scripted:parrot",
        "has_more": False,
    }
    assert one.json() == shown("parrot")
    assert openais.json()["object"] == "list"


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ({"limit": 2}, "ab", True),
        ({"limit": 2, "after_id": "scripted:b"}, "cd", False),
        ({"limit": 2, "before_id": "scripted:d"}, "bc", True),
        ({"limit": 9, "before_id": "scripted:c"}, "ab", False),
        ({"beta": "true"}, "abcd", False),
    ],
)
async def test_models_come_in_pages(
    settings: Settings, query: dict[str, Any], names: str, *, has_more: bool
) -> None:
    async with connect(settings, ScriptedProvider(models="abcd")) as client:
        response = await client.get("/v1/models", params=query, headers=VERSION)

    assert response.json() == {
        "data": [shown(name) for name in names],
        "first_id": f"scripted:{names[0]}",
        "last_id": f"scripted:{names[-1]}",
        "has_more": has_more,
    }


@pytest.mark.parametrize(
    ("path", "status"), [("?after_id=x", 400), ("?limit=0", 400), ("/none", 404)]
)
async def test_models_that_are_not_there_have_the_envelope(
    client: Client, path: str, status: int
) -> None:
    response = await client.get(f"/v1/models{path}", headers=VERSION)

    assert response.status_code == status
    assert error(response)["message"]


async def test_tokens_are_counted_where_the_provider_can_and_nothing_is_kept(
    settings: Settings,
) -> None:
    provider = CountingProvider()
    async with connect(settings, provider) as client:
        response = await client.post(COUNT, json=ASKED | {"system": "Be brief."})
        assert await client.history() == []

    assert response.json() == {"input_tokens": 11}
    [request] = provider.requests
    assert [message.role for message in request.messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "The provider 'scripted' cannot count"),
        ({"max_tokens": 5}, "max_tokens: There is no such field."),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content: "),
    ],
)
async def test_counting_is_refused_with_the_reason(
    client: Client, fields: dict[str, Any], message: str
) -> None:
    response = await client.post(COUNT, json=ASKED | fields)

    assert response.status_code == 400
    assert error(response)["message"].startswith(message)
