"""The first README's calls, to the letter."""

import re

import httpx2
import pytest

from llamakeep.settings import Settings
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

ANSWER = "FastAPI is a modern Python web framework for building APIs quickly..."
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("slash", ["/", ""])
async def test_the_three_calls_of_the_first_readme_answer_as_it_shows(
    settings: Settings, slash: str
) -> None:
    async with connect(settings, ScriptedProvider([ANSWER])) as client:
        anybody = httpx2.AsyncClient(
            transport=client._transport, base_url="http://localhost:8000"
        )

        login = await anybody.post(
            f"/login{slash}",
            content=b'{"username": "alice", "password": "secret1"}',
            headers=JSON,
        )
        bearer = {"Authorization": "Bearer token_alice"}
        prompt = await anybody.post(
            f"/prompt{slash}",
            content=b'{"prompt": "What is FastAPI and why is it useful?"}',
            headers=bearer | JSON,
        )
        history = await anybody.get(f"/history{slash}", headers=bearer)

    assert (login.status_code, login.json()["token"]) == (200, "token_alice")
    assert (prompt.status_code, prompt.json()["response"]) == (200, ANSWER)
    assert history.status_code == 200
    [kept] = history.json()["history"]
    assert kept["prompt"] == "What is FastAPI and why is it useful?"
    assert kept["response"] == ANSWER
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", kept["timestamp"])


async def test_bob_is_the_other_demo_user(client: Client) -> None:
    response = await client.post(
        "/login/", json={"username": "bob", "password": "secret2"}
    )

    assert response.json()["token"] == "token_bob"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("twins", [("/history/", "/history"), ("/me/", "/me")])
async def test_a_trailing_slash_changes_nothing(
    shared_client: Client, method: str, twins: tuple[str, str]
) -> None:
    with_slash, without = [await shared_client.request(method, path) for path in twins]

    assert with_slash.status_code == without.status_code
    assert without.is_redirect is False
