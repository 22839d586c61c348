"""What a client meets that sends too much."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from llamakeep.app import create_app
from llamakeep.domain.rates import parse_rates
from llamakeep.errors import CountsUnavailable
from llamakeep.settings import Settings
from tests.api.serving import ALICE, BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

GUESS = {"username": "alice", "password": "secret0"}
NOBODY = {"Authorization": ""}


def rated(settings: Settings, **written: str) -> Settings:
    return settings.model_copy(
        update={name: parse_rates(rate) for name, rate in written.items()}
    )


@pytest.fixture
async def limited(settings: Settings) -> AsyncIterator[Client]:
    """A server that lets each key, and each user, send three requests an hour."""
    settings = rated(settings, rate_limit="3/hour")
    async with connect(settings, ScriptedProvider()) as client:
        yield client


async def test_who_sends_too_much_is_told_what_when_and_why(limited: Client) -> None:
    for _ in range(3):
        assert (await limited.get("/history/")).status_code == 200

    refused = await limited.post("/prompt/", json=PROMPT)

    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"] == "urn:llamakeep:problem:rate-limited"
    wait = int(refused.headers["retry-after"])
    assert 3500 < wait <= 3660
    assert "Your logins together may send 3 requests in 1 hour" in problem["detail"]
    assert "This request was not carried out" in problem["detail"]
    assert limited.engine.running == 0
    assert (await limited.get("/history/", headers=BOB)).json()["history"] == []


async def test_every_answer_says_where_a_client_stands(limited: Client) -> None:
    first = await limited.get("/history/")
    wrong = await limited.post("/prompt/", json={})

    assert first.headers["ratelimit-policy"] == '"user-3600s";q=3;w=3600'
    name, left, seconds = first.headers["ratelimit"].split(";")
    assert (name, left) == ('"user-3600s"', "r=2")
    assert 3500 < int(seconds.removeprefix("t=")) <= 3660
    assert wrong.status_code == 422
    assert ";r=1;" in wrong.headers["ratelimit"]


async def test_all_logins_of_a_user_count_together_and_other_users_do_not(
    limited: Client,
) -> None:
    alice = await limited.storage.find_credentials("alice")
    assert alice is not None
    again = await limited.let_in(alice.user)

    answers = [
        await limited.get("/history/", headers=who)
        for who in (ALICE, again, ALICE, again, BOB)
    ]

    assert [one.status_code for one in answers] == [200, 200, 200, 429, 200]


async def test_each_api_key_counts_by_itself(limited: Client) -> None:
    keys = []
    for name in ("one", "two"):
        made = await limited.post("/keys/", json={"name": name, "scopes": ["history"]})
        keys.append({"Authorization": f"Bearer {made.json()['key']}"})

    answers = [
        await limited.get("/history/", headers=who)
        for who in (*[keys[0]] * 4, keys[1], ALICE)
    ]

    assert [one.status_code for one in answers] == [200, 200, 200, 429, 200, 200]
    assert "Your API key may send 3 requests" in answers[3].json()["detail"]


async def test_of_several_rates_the_one_that_is_reached_is_named(
    settings: Settings,
) -> None:
    settings = rated(settings, rate_limit="2/hour;100/day")
    async with connect(settings, ScriptedProvider()) as client:
        for _ in range(2):
            await client.get("/history/")
        refused = await client.get("/history/")

    assert "2 requests in 1 hour" in refused.json()["detail"]
    standings = refused.headers["ratelimit"].split(", ")
    assert [one.split(";")[:2] for one in standings] == [
        ['"user-3600s"', "r=0"],
        ['"user-86400s"', "r=98"],
    ]


async def test_an_address_is_counted_before_anything_is_known_of_who_it_is(
    settings: Settings,
) -> None:
    settings = rated(settings, address_rate_limit="3/hour")
    async with connect(settings, ScriptedProvider()) as client:
        requests = [
            client.get("/history/", headers=NOBODY),
            client.get("/nowhere", headers=NOBODY),
            client.get("/history/"),
            client.get("/history/"),
            client.post("/prompt/", content=b"x" * 2_000_000),
        ]
        answers = [await request for request in requests]

    assert [one.status_code for one in answers] == [401, 404, 200, 429, 429]
    assert ";r=2;" in answers[0].headers["ratelimit"]
    assert "Your address may send 3 requests" in answers[3].json()["detail"]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
    ],
)
async def test_addresses_of_one_network_count_together(
    settings: Settings, one: str, other: str, is_same: bool
) -> None:
    settings = rated(settings, address_rate_limit="1/hour")
    settings = settings.model_copy(update={"demo": False})
    async with connect(settings, ScriptedProvider(), address=one) as client:
        await client.get("/me/")
        elsewhere = Client(client.app, address=other, raise_bugs=True)

        answer = await elsewhere.get("/me/")

    assert answer.status_code == (429 if is_same else 401)


async def test_health_checks_are_not_counted(settings: Settings) -> None:
    settings = rated(settings, address_rate_limit="1/hour")
    async with connect(settings, ScriptedProvider()) as client:
        for path in ("/healthz", "/readyz", "/healthz/"):
            answer = await client.get(path, headers=NOBODY)

            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
        assert (await client.get("/history/")).status_code == 200


async def test_tries_to_log_in_are_counted_by_address(settings: Settings) -> None:
    settings = rated(settings, login_rate_limit="2/hour")
    reset = {"token": "lkr_0", "password": "a good password"}
    async with connect(settings, ScriptedProvider()) as client:
        answers = [
            await client.post("/login/", json=GUESS),
            await client.post("/password-reset", json=reset),
            await client.post("/login", json=GUESS),
            await client.get("/history/"),
        ]

    assert [one.status_code for one in answers] == [401, 401, 429, 200]
    assert "Your address may try to log in 2 times" in answers[2].json()["detail"]
    assert "ratelimit" not in answers[3].headers


async def test_a_stream_is_counted_once(limited: Client) -> None:
    events = await limited.events("POST", "/prompt/", json=PROMPT | {"stream": True})

    assert len(events) > 3
    assert ";r=1;" in (await limited.get("/history/")).headers["ratelimit"]


async def test_openais_clients_are_told_in_openais_words(limited: Client) -> None:
    first = await limited.get("/v1/models")
    for _ in range(2):
        await limited.get("/v1/models")
    refused = await limited.get("/v1/models")

    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    reset = first.headers["x-ratelimit-reset-requests"]
    assert reset.startswith(("1h0m", "1h1m0s", "59m"))
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert "3 requests in 1 hour" in error["message"]
    assert int(refused.headers["retry-after"]) > 3500


async def test_replicates_clients_are_told_in_replicates_words(limited: Client) -> None:
    for _ in range(3):
        await limited.get("/replicate/v1/predictions")

    refused = await limited.get("/replicate/v1/predictions")

    assert refused.status_code == 429
    assert refused.json()["retry_after"] == int(refused.headers["retry-after"])


async def test_without_a_rate_nothing_is_counted(client: Client) -> None:
    answer = await client.get("/history/")

    assert "ratelimit" not in answer.headers
    assert "RateLimit" not in repr(client.app.user_middleware)


@pytest.mark.slow
async def test_while_valkey_is_gone_prompts_are_answered_and_logins_wait(
    settings: Settings, unused_valkey_url: str
) -> None:
    settings = rated(settings, rate_limit="9/hour", login_rate_limit="9/hour")
    settings = settings.model_copy(update={"valkey_url": SecretStr(unused_valkey_url)})
    async with connect(settings, ScriptedProvider()) as client:
        answer = await client.post("/prompt/", json=PROMPT)
        login = await client.post(
            "/login/", json={"username": "alice", "password": "secret1"}
        )

    assert answer.json()["response"] == "Hello, world"
    assert ";r=8;" in answer.headers["ratelimit"]
    assert login.status_code == 503
    assert login.json()["type"] == "urn:llamakeep:problem:counts-unavailable"
    assert int(login.headers["retry-after"]) >= 1


@pytest.fixture
async def unused_valkey_url() -> str:
    """An address where nothing listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"valkey://127.0.0.1:{port}"


def test_a_server_without_valkeys_client_does_not_start_and_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkey", None)
    settings = rated(settings, rate_limit="9/hour")
    settings = settings.model_copy(
        update={"valkey_url": SecretStr("valkey://localhost")}
    )

    with pytest.raises(CountsUnavailable, match=r"pip install 'llamakeep\[valkey\]'"):
        create_app(settings)
