"""Servers on which each request has to name its model."""

from typing import Any

import pytest

from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, error
from tests.api.serving import PROMPT, connect
from tests.fakes import ScriptedProvider

BODIES: dict[str, dict[str, Any]] = {
    CHAT: HI,
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {"input": "Hi"},
}


@pytest.fixture
def strict(settings: Settings) -> Settings:
    return settings.model_copy(update={"require_model": True})


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("model", [{}, {"model": None}])
async def test_a_request_without_a_model_is_a_bad_one_where_it_has_to_name_it(
    strict: Settings, path: str, model: dict[str, Any]
) -> None:
    async with connect(strict, ScriptedProvider()) as client:
        response = await client.post(path, json=BODIES[path] | model)
        kept = await client.history()

    found = error(response)
    assert response.status_code == 400
    assert found["param"] == "model"
    assert found["code"] == "missing_required_parameter"
    assert "LLAMAKEEP_REQUIRE_MODEL" in found["message"]
    assert kept == []


async def test_a_prompt_without_a_model_is_refused_where_it_has_to_name_it(
    strict: Settings,
) -> None:
    async with connect(strict, ScriptedProvider()) as client:
        response = await client.post("/prompt/", json=PROMPT)
        kept = await client.history()

    [wrong] = response.json()["errors"]
    assert (response.status_code, wrong["field"]) == (422, "model")
    assert kept == []


async def test_a_request_that_names_its_model_is_answered_where_it_has_to(
    strict: Settings,
) -> None:
    async with connect(strict, ScriptedProvider()) as client:
        responses = [
            await client.post(path, json=body | {"model": "parrot"})
            for path, body in {**BODIES, "/prompt/": PROMPT}.items()
        ]

    assert [response.status_code for response in responses] == [200] * len(responses)
