"""Models of an OpenAI-compatible server: the default one, and those that are not."""

from collections.abc import AsyncIterator

import pytest

from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, error
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


LISTING = whole(200, {"object": "list", "data": [{"id": "there"}]})


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(400, 404), (404, 404), (405, 404), (501, 404), (429, 429), (500, 502)],
)
async def test_only_a_server_that_can_be_asked_says_that_there_is_no_such_model(
    settings: Settings, refusal: int, status: int
) -> None:
    async with (
        running_stub(LISTING) as stub,
        connect(settings, OpenAIProvider(stub.base_url)) as client,
    ):
        stub.script_of_path["/v1/models/nope"] = [whole(refusal, {})]
        response = await client.get("/v1/models/openai:nope")

    assert response.status_code == status, response.text


VERSION = 64 * "a"
NO_SUCH_MODELS = [
    "/v1/models/no/such",
    "/v1/models/no%2Fsuch",
    "/v1/models/no/such/",
    "/v1/models/replicate:no/such",
    "/v1/models/replicate%3Ano%2Fsuch",
    f"/v1/models/no/such:{VERSION}",
    f"/v1/models/no%2Fsuch%3A{VERSION}",
    "/replicate/v1/models/no/such",
    "/replicate/v1/models/no/such/versions",
    f"/replicate/v1/models/no/such/versions/{VERSION}",
]
NO_NAMES = [
    "no%20/such",
    "no/such%3F",
    "no/such%23a",
    "no/%2E%2E%2Fsuch",
    "no/such:1",
    "no//such",
    "no/su%00ch",
    "n%C3%B6/such",
    f"no/{300 * 'a'}",
    "no/such%252F",
]


@pytest.mark.parametrize("path", NO_SUCH_MODELS)
async def test_a_model_that_replicate_does_not_have_is_not_found(
    settings: Settings, path: str
) -> None:
    missing = whole(404, {"detail": "The requested resource could not be found."})
    async with (
        running_stub(missing) as stub,
        connect(settings, ReplicateProvider("r8_x", base_url=stub.base_url)) as client,
    ):
        response = await client.get(path)
        again = await client.get(path)

    assert response.status_code == again.status_code == 404, response.text
    assert len([each for each in stub.heard if "/no/" in each.path]) == 1
    if path.startswith("/v1"):
        assert error(response)["code"] == "model_not_found"


@pytest.mark.parametrize("name", NO_NAMES)
async def test_a_name_that_no_model_can_have_is_not_asked_for(
    settings: Settings, name: str
) -> None:
    async with (
        running_stub(whole(200, {})) as stub,
        connect(settings, ReplicateProvider("r8_x", base_url=stub.base_url)) as client,
    ):
        response = await client.get(f"/v1/models/{name}")

    assert response.status_code == 404, response.text
    assert len(stub.heard) <= 1  # the default one is asked for at the start


@pytest.mark.parametrize("path", NO_SUCH_MODELS)
async def test_whether_replicate_has_a_model_is_not_known_while_it_is_away(
    settings: Settings, path: str
) -> None:
    async with running_stub() as stub:
        base_url = stub.base_url
    async with connect(
        settings, ReplicateProvider("r8_x", base_url=base_url)
    ) as client:
        response = await client.get(path)

    assert response.status_code == 503, response.text
    assert "Replicate" in response.text


async def test_a_model_that_replicate_has_is_shown(settings: Settings) -> None:
    body = {"owner": "some", "name": "one", "is_official": True}
    async with (
        running_stub(whole(200, body)) as stub,
        connect(settings, ReplicateProvider("r8_x", base_url=stub.base_url)) as client,
    ):
        ours = await client.get("/v1/models/some%2Fone")
        theirs = await client.get("/replicate/v1/models/some/one")

    assert ours.json()["id"] == "replicate:some/one"
    assert theirs.json()["name"] == "one"
