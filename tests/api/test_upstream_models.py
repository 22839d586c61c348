"""Models of an OpenAI-compatible server: the default one, and those that are not."""

from collections.abc import AsyncIterator

import pytest

from llamakeep.providers.openai import OpenAIProvider
from llamakeep.settings import Settings
from tests.api.openai import CHAT, HI, error
from tests.api.serving import Client, connect
from tests.providers.stub_server import running_stub, whole

MISSING = {"error": {"message": "There is no such model", "code": "model_not_found"}}


@pytest.fixture
async def dead(settings: Settings) -> AsyncIterator[Client]:
    async with running_stub() as stub:
        base_url = stub.base_url
    async with connect(settings, OpenAIProvider(base_url)) as client:
        yield client


@pytest.mark.parametrize(("path", "body"), [("/prompt/", {"prompt": "Hi"}), (CHAT, HI)])
async def test_a_prompt_to_a_default_model_that_is_not_known_is_kept(
    dead: Client, path: str, body: dict[str, object]
) -> None:
    response = await dead.post(path, json=body)
    [kept] = await dead.history()

    assert response.status_code == 503
    assert kept["id"] in response.text
    assert kept["status"] == "failed"
    assert kept["error"]["type"] == "provider-unavailable"


async def test_a_default_model_that_is_not_known_is_not_listed(dead: Client) -> None:
    assert (await dead.get("/v1/models")).json()["data"] == []


async def test_whether_a_model_exists_is_not_known_while_its_server_is_away(
    dead: Client,
) -> None:
    assert (await dead.get("/v1/models/nope")).status_code == 503


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/prompt/", {"prompt": "Hi", "model": "openai:nope"}, 404),
        ("/prompt/", {"prompt": "Hi", "model": "openai:nope", "stream": True}, 404),
        (CHAT, HI | {"model": "openai:nope"}, 404),
        (CHAT, HI | {"model": "openai:nope", "stream": True}, 404),
        ("/v1/completions", {"prompt": "Hi", "model": "openai:nope"}, 404),
        ("/v1/responses", {"input": "Hi", "model": "openai:nope"}, 404),
    ],
)
async def test_a_model_that_a_server_does_not_have_is_not_found(
    settings: Settings, path: str, body: dict[str, object], status: int
) -> None:
    async with (
        running_stub(whole(404, MISSING)) as stub,
        connect(settings, OpenAIProvider(stub.base_url)) as client,
    ):
        response = await client.post(path, json=body)
        [kept] = await client.history()

    assert response.status_code == status
    assert kept["error"]["type"] == "model-not-found"
    if path.startswith("/v1"):
        assert error(response)["code"] == "model_not_found"
        assert error(response)["param"] == "model"


@pytest.mark.parametrize(("name", "status"), [("there", 200), ("nope", 404)])
async def test_a_model_is_shown_if_its_server_lists_it(
    settings: Settings, name: str, status: int
) -> None:
    listing = whole(200, {"object": "list", "data": [{"id": "there"}]})
    async with (
        running_stub(listing) as stub,
        connect(settings, OpenAIProvider(stub.base_url)) as client,
    ):
        response = await client.get(f"/v1/models/openai:{name}")

    assert response.status_code == status
