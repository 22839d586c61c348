"""The models that clients of OpenAI's API can ask for."""

import pytest

from llamakeep.domain import Capabilities
from llamakeep.settings import Settings
from tests.api.openai.client import error
from tests.api.serving import connect
from tests.fakes import ScriptedProvider

LLAMA = "meta/llama-4-maverick-instruct"
NOTHING_KNOWN = dict(Capabilities(n=True, prefill=False))


def providers() -> tuple[ScriptedProvider, ScriptedProvider]:
    small = ScriptedProvider(name="local", models=["smollm2"])
    small.able["smollm2"] = Capabilities(tools=True, images=False)
    return ScriptedProvider(name="replicate", models=[LLAMA]), small


async def test_models_are_listed_with_the_default_one_first(settings: Settings) -> None:
    async with connect(settings, *providers()) as client:
        response = await client.get("/v1/models")

    assert response.headers["x-request-id"].startswith("req_")
    assert response.json() == {
        "object": "list",
        "data": [
            {
                "id": f"replicate:{LLAMA}",
                "object": "model",
                "created": 0,
                "owned_by": "meta",
                "capabilities": NOTHING_KNOWN,
            },
            {
                "id": "local:smollm2",
                "object": "model",
                "created": 0,
                "owned_by": "local",
                "capabilities": NOTHING_KNOWN | {"tools": True, "images": False},
            },
        ],
    }


@pytest.mark.parametrize(
    "given",
    [
        f"replicate:{LLAMA}",
        f"replicate:{LLAMA}/",
        LLAMA,
        f"replicate%3A{LLAMA.replace('/', '%2F')}",
    ],
)
async def test_a_model_is_found_however_its_name_is_written(
    settings: Settings, given: str
) -> None:
    async with connect(settings, *providers()) as client:
        response = await client.get(f"/v1/models/{given}")

    assert response.json() == {
        "id": f"replicate:{LLAMA}",
        "object": "model",
        "created": 0,
        "owned_by": "meta",
        "capabilities": NOTHING_KNOWN,
    }


async def test_a_model_that_nobody_serves_is_not_found(settings: Settings) -> None:
    async with connect(settings, *providers()) as client:
        response = await client.get("/v1/models/gpt-5")

    assert response.status_code == 404
    assert error(response)["code"] == "model_not_found"
