"""There is one shape of errors, whatever goes wrong."""

import pytest
from fastapi import FastAPI

from llamakeep import errors
from llamakeep.settings import Settings
from tests.api.serving import PROMPT, Client, connect
from tests.fakes import ScriptedProvider

ERRORS = list(dict.fromkeys(errors.walk()))


def add_failure(app: FastAPI, error: type[errors.LlamaKeepError]) -> None:
    @app.get(f"/fail/{error.code}")
    async def fail() -> None:
        failure = error("What happened.")
        failure.retry_after = 1.1
        raise failure


def add_bug(app: FastAPI) -> None:
    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret")


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in ERRORS]

    assert len(codes) == len(set(codes))
    assert all(code == code.lower().replace("_", "-") for code in codes)


@pytest.fixture(scope="module")
async def failing(shared_client: Client) -> Client:
    """A server with one route for each error."""
    for error in ERRORS:
        add_failure(shared_client.app, error)
    return shared_client


@pytest.mark.parametrize("error", ERRORS)
async def test_every_error_looks_the_same_from_outside(
    failing: Client, error: type[errors.LlamaKeepError]
) -> None:
    response = await failing.get(f"/fail/{error.code}")

    assert response.status_code == error.status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "2"
    assert response.json() == {
        "type": f"urn:llamakeep:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": "What happened.",
    }


async def test_a_bug_gives_nothing_away(settings: Settings) -> None:
    async with connect(settings, raise_bugs=False) as client:
        add_bug(client.app)

        response = await client.get("/bug")

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:llamakeep:problem:internal-error"
    assert "a secret" not in response.text
    assert "Traceback" not in response.text


async def test_an_outdated_client_finds_the_detail_where_it_always_was(
    client: Client,
) -> None:
    response = await client.post("/prompt/", json={})

    assert response.json()["detail"].startswith("prompt: This field is required")


async def test_the_server_says_whether_it_lives_and_is_ready(client: Client) -> None:
    del client.headers["authorization"]

    lives = await client.get("/healthz")
    is_ready = await client.get("/readyz")

    assert (lives.status_code, lives.json()) == (200, {"status": "ok"})
    assert (is_ready.status_code, is_ready.json()) == (200, {"status": "ready"})


async def test_a_server_that_stops_is_not_ready_and_refuses_prompts(
    client: Client, provider: ScriptedProvider
) -> None:
    client.engine.stop_accepting()

    lives = await client.get("/healthz")
    is_ready = await client.get("/readyz")
    prompt = await client.post("/prompt/", json=PROMPT)

    assert lives.status_code == 200
    for response in (is_ready, prompt):
        assert response.status_code == 503
        assert response.json()["type"] == "urn:llamakeep:problem:server-stopping"
    assert int(prompt.headers["retry-after"]) >= 1
    assert provider.requests == []
