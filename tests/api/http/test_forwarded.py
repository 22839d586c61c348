"""What proxies in front say of requests, and the addresses that clients are given."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import HttpUrl, ValidationError

from llamakeep.domain.rates import parse_rates
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from tests.api.serving import ALICE, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

PROXY = "10.1.0.7"
WRONG = {"username": "alice", "password": "wrong"}
CREATE = "/replicate/v1/models/scripted/parrot/predictions"


TRUSTED = (ip_network("10.1.0.0/16"), ip_network("2001:db8::7"))


def behind(settings: Settings, **more: Any) -> Settings:
    return settings.model_copy(update={"trusted_proxies": TRUSTED, **more})


async def address_seen(client: Client, headers: Mapping[str, str]) -> str | None:
    """Return from where a login is said to have failed."""
    response = await client.post("/login/", json=WRONG, headers=headers)
    assert response.status_code == 401, response.text
    [event, *_] = await client.storage.audit()
    return event.address


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5", "203.0.113.5"),
        ("junk, 203.0.113.5", "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5, 10.1.2.3", "203.0.113.5"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("10.1.2.3", "10.1.2.3"),
        ("", PROXY),
    ],
)
@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}"])
async def test_a_client_is_where_the_last_trusted_proxy_saw_it(
    settings: Settings, peer: str, sent: str, seen: str
) -> None:
    async with connect(behind(settings), ScriptedProvider(), address=peer) as client:
        found = await address_seen(client, {"X-Forwarded-For": sent})

    assert found in {seen, peer if seen == PROXY else seen}


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.2.0.7", "::1"])
async def test_others_are_not_believed(settings: Settings, peer: str) -> None:
    headers = {
        "X-Forwarded-For": "203.0.113.5",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/llm",
    }
    async with connect(behind(settings), ScriptedProvider(), address=peer) as client:
        found = await address_seen(client, headers)
        response = await client.post(
            "/prompt/", json=PROMPT | {"background": True}, headers=ALICE | headers
        )

    assert found == peer
    assert response.headers["location"].startswith("/history/run_")


async def test_without_the_setting_nobody_is_believed(client: Client) -> None:
    assert await address_seen(client, {"X-Forwarded-For": "6.6.6.6"}) == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-For", "junk4"),
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-For", "203.0.113.5, 999.1.1.1"),
        ("X-Forwarded-For", "203.0.113.5, 10.1.0.9, <script>"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "https://evil.example"),
        ("X-Forwarded-Prefix", "/a/../b"),
        ("X-Forwarded-Prefix", "/a b"),
    ],
)
async def test_what_a_trusted_proxy_says_has_to_make_sense(
    settings: Settings, name: str, value: str
) -> None:
    async with connect(behind(settings), ScriptedProvider(), address=PROXY) as client:
        response = await client.get("/history/", headers=ALICE | {name: value})

    assert response.status_code == 400
    assert name in response.json()["detail"]
    assert value not in response.text


async def test_rates_count_the_client_and_not_the_proxy(settings: Settings) -> None:
    settings = behind(settings, address_rate_limit=parse_rates("1/hour"))
    async with connect(settings, ScriptedProvider(), address=PROXY) as client:
        statuses = [
            (await client.get("/me/", headers=ALICE | {"X-Forwarded-For": sent}))
            for sent in ("203.0.113.5", "203.0.113.6", "9.9.9.9, 203.0.113.5")
        ]

    assert [each.status_code for each in statuses] == [200, 200, 429]


@pytest.mark.parametrize(
    "wrong", ['["localhost"]', '["10.0.0.1/8"]', '["junk"]', '["10.0.0.0/99"]']
)
def test_proxies_that_are_no_addresses_are_refused(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("LLAMAKEEP_TRUSTED_PROXIES", wrong)

    with pytest.raises(ValidationError):
        Settings()


def test_a_root_path_ends_without_a_slash() -> None:
    assert Settings(root_path="/llm/").root_path == "/llm"
    assert Settings(root_path="/").root_path == ""


@pytest.mark.parametrize("wrong", ["llm", "//llm", "/a/../b", "/a b", "/a//b", "/a?b"])
def test_a_root_path_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Settings(root_path=wrong)


BY_PROXY = {"X-Forwarded-Prefix": "/llm", "X-Forwarded-Proto": "https"}
WAYS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "setting": ({"root_path": "/llm"}, {}, "http://localhost/llm"),
    "proxy": ({}, BY_PROXY, "https://localhost/llm"),
    "both": ({"root_path": "/other"}, BY_PROXY, "https://localhost/llm"),
    "two proxies": (
        {},
        {"X-Forwarded-Prefix": "/outer, /llm"},
        "http://localhost/outer/llm",
    ),
    "public URL": (
        {"public_url": HttpUrl("https://llm.example/llm/")},
        {},
        "https://llm.example/llm",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "headers", "origin"), WAYS.values(), ids=[*WAYS])
async def test_every_address_has_the_prefix(
    settings: Settings, changes: dict[str, Any], headers: dict[str, str], origin: str
) -> None:
    prefix = "/" + origin.split("/", 3)[3]
    sent = ALICE | {"Host": "localhost"} | headers
    settings = behind(settings, **changes)
    async with connect(settings, ScriptedProvider(), address=PROXY) as client:
        begun = await client.post(
            "/prompt/", json=PROMPT | {"background": True}, headers=sent
        )
        created = await client.post(
            CREATE, json={"input": {"prompt": "Hi"}}, headers=sent
        )
        for _ in range(101):
            await client.post("/prompt/", json=PROMPT)
        page = await client.get("/replicate/v1/predictions", headers=sent)
        document = await client.get("/openapi.json", headers=sent)
        nothing = await client.get("/nothing", headers=sent)
        unknown = await client.get("/v1/nothing", headers=sent)

    run_id = begun.json()["id"]
    assert begun.headers["location"] == f"{prefix}/history/{run_id}"
    urls = created.json()["urls"]
    assert urls["web"].startswith(f"{origin}/history/run_")
    for name in ("get", "cancel", "stream"):
        assert urls[name].startswith(f"{origin}/replicate/v1/"), name
    assert page.json()["next"].startswith(f"{origin}/replicate/v1/predictions?cursor=")
    assert document.json()["servers"] == [{"url": prefix}]
    assert f"{prefix}/docs" in nothing.json()["detail"]
    assert unknown.status_code == 404


@pytest.mark.parametrize("path", ["/llm/history/", "/history/"])
async def test_a_proxy_may_leave_the_prefix_or_take_it_away(
    settings: Settings, path: str
) -> None:
    settings = behind(
        settings, root_path="/llm", address_rate_limit=parse_rates("100/hour")
    )
    async with connect(settings, ScriptedProvider()) as client:
        history = await client.get(path)
        problem = await client.post("/llm/v1/chat/completions", json={})
        health = await client.get("/llm/healthz")
        root = await client.get("/llm")

    assert history.status_code == 200
    assert "message" in problem.json()["error"]
    assert "ratelimit" not in health.headers
    assert "/llm/docs" in root.json()["detail"]


async def test_a_path_that_only_begins_like_the_prefix_is_another_one(
    settings: Settings,
) -> None:
    settings = behind(settings, root_path="/hist")
    async with connect(settings, ScriptedProvider()) as client:
        assert (await client.get("/history/")).status_code == 200


STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {"input": "Hi"},
}


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(("changes", "headers", "origin"), WAYS.values(), ids=[*WAYS])
async def test_an_error_says_where_the_run_is_behind_a_prefix(  # noqa: PLR0917 - pytest's names
    settings: Settings,
    changes: dict[str, Any],
    headers: dict[str, str],
    origin: str,
    path: str,
    is_streamed: bool,
) -> None:
    provider = ScriptedProvider(["Once", ProviderUnavailable("It broke off.")])
    settings = behind(settings, **changes)
    async with connect(settings, provider, address=PROXY) as client:
        response = await client.post(
            path, json=STREAMS[path] | {"stream": is_streamed}, headers=ALICE | headers
        )
        [run] = await client.history()

    prefix = "/" + origin.split("/", 3)[3]
    if path == "/v1/responses" and is_streamed:
        assert "/history/" not in response.text  # the event has the response's id
    else:
        assert f"See {prefix}/history/{run['id']}." in response.text


async def test_what_is_not_there_is_called_as_the_client_called_it(
    settings: Settings,
) -> None:
    settings = behind(settings, root_path="/llm")
    async with connect(settings, ScriptedProvider()) as client:
        nothing = await client.get("/llm/nothing")
        method = await client.put("/llm/prompt/", json={})

    assert "There is nothing at /llm/nothing." in nothing.json()["detail"]
    assert "PUT is not possible at /llm/prompt/;" in method.json()["detail"]
