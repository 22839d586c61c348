"""The first README's three calls, answered by the embedded model."""

import signal

import pytest

from llamakeep.providers.local import find_weights, has_engine
from llamakeep.settings import Settings
from tests.acceptance.conftest import NewServer


@pytest.fixture(autouse=True)
def needs_the_embedded_model(settings: Settings) -> None:
    if not has_engine() or find_weights(settings) is None:
        pytest.skip("The embedded model is not installed; `make run` installs it.")


async def test_the_three_calls_are_answered_by_a_real_model(
    new_server: NewServer,
) -> None:
    server = new_server(is_real=True, settings={"local_threads": 1})
    await server.start()

    login = await server.client.post(
        "/login/", json={"username": "alice", "password": "secret1"}
    )
    prompt = await server.client.post(
        "/prompt/",
        json={"prompt": "What is FastAPI and why is it useful?", "max_tokens": 12},
    )
    history = await server.client.get("/history/")
    status = await server.stop(signal.SIGTERM)

    assert login.json()["token"] == "token_alice"
    assert prompt.status_code == 200, prompt.text
    assert len(prompt.json()["response"].split()) > 3
    assert prompt.json()["model"].startswith("local:")
    assert prompt.json()["usage"]["output_tokens"] == 12
    [kept] = history.json()["history"]
    assert kept["prompt"] == "What is FastAPI and why is it useful?"
    assert kept["response"] == prompt.json()["response"]
    assert status == 0
