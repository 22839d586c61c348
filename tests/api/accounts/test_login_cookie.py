"""The cookie that keeps a browser logged in, and which pages may use it."""

import re
from datetime import timedelta
from http.cookies import SimpleCookie
from ipaddress import ip_network
from typing import Any

import httpx2
import pytest
from pydantic import HttpUrl

from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User, utc_now
from llamakeep.settings import Settings
from llamakeep.storage.accounts.tables import access_tokens
from tests.api.accounts.logins import (
    CAROL,
    DAY,
    OWN,
    cookie_of,
    enrol,
    grow_old,
    log_in,
)
from tests.api.serving import ALICE, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

PROXIES = (ip_network("127.0.0.1"),)
WEEK = 7 * DAY


def attributes_of(response: httpx2.Response) -> dict[str, Any]:
    """Return name and attributes of the one cookie that a response sets."""
    [said] = response.headers.get_list("set-cookie")
    [(name, cookie)] = SimpleCookie(said).items()
    return {"name": name} | {key: value for key, value in cookie.items() if value}


async def test_a_login_answers_with_a_cookie_that_no_script_can_read(
    server: Client,
) -> None:
    login = await log_in(server)

    assert (login.status_code, login.content) == (204, b"")
    assert attributes_of(login) == {
        "name": attributes_of(login)["name"],
        "path": "/",
        "max-age": str(7 * 24 * 3600),
        "httponly": True,
        "samesite": "Strict",
    }
    assert re.match("llamakeep-[0-9a-f]{12}=lka_", login.headers["set-cookie"])


async def test_the_cookie_lets_its_user_in(server: Client) -> None:
    cookie = cookie_of(await log_in(server))

    me = await server.get("/me/", headers=cookie)
    prompt = await server.post("/prompt/", json=PROMPT, headers=cookie | OWN)

    assert (me.status_code, me.json()["username"]) == (200, "carol")
    assert prompt.status_code == 200
    assert "set-cookie" not in me.headers


@pytest.mark.parametrize("public_url", [None, "https://llamas.example"])
async def test_over_tls_the_cookie_belongs_to_this_host_and_to_tls(
    real: Settings, public_url: str | None
) -> None:
    """A proxy that is trusted says that there is TLS, or else the browser does."""
    changes: dict[str, Any] = {"trusted_proxies": PROXIES}
    if public_url is not None:
        changes = {"public_url": HttpUrl(public_url)}
    settings = real.model_copy(update=changes)
    through = {"Host": "llamas.example"}
    if public_url is None:
        through["X-Forwarded-Proto"] = "https"
    async with connect(settings, ScriptedProvider()) as client:
        await enrol(client)
        login = await log_in(client, **through, Origin="https://llamas.example")
        me = await client.get("/me/", headers=cookie_of(login) | through)

    attributes = attributes_of(login)
    assert attributes["name"].startswith("__Host-llamakeep-")
    assert attributes["secure"] is True
    assert "domain" not in attributes
    assert me.status_code == 200


async def test_over_tls_a_cookie_that_was_set_without_it_is_not_accepted(
    real: Settings,
) -> None:
    settings = real.model_copy(update={"trusted_proxies": PROXIES})
    async with connect(settings, ScriptedProvider()) as client:
        await enrol(client)
        cookie = cookie_of(await log_in(client))
        plain = await client.get("/me/", headers=cookie)
        over_tls = await client.get(
            "/me/", headers=cookie | {"X-Forwarded-Proto": "https"}
        )

    assert (plain.status_code, over_tls.status_code) == (200, 401)


async def test_two_servers_on_one_host_do_not_share_a_cookie(server: Client) -> None:
    names = {
        attributes_of(await log_in(server, Host=host, Origin=f"http://{host}"))["name"]
        for host in ("localhost:8000", "localhost:8001", "localhost")
    }

    assert len(names) == 3


async def test_neither_do_two_below_different_paths(real: Settings) -> None:
    names = set()
    for prefix in ("", "/one", "/two"):
        settings = real.model_copy(update={"root_path": prefix})
        async with connect(settings, ScriptedProvider()) as client:
            if not prefix:
                await enrol(client)
            names.add(attributes_of(await log_in(client))["name"])

    assert len(names) == 3


async def test_a_wrong_password_sets_no_cookie(server: Client) -> None:
    response = await server.post(
        "/login/cookie/", json=CAROL | {"password": "guess"}, headers=OWN
    )

    assert response.status_code == 401
    assert "set-cookie" not in response.headers


PAGES: list[tuple[dict[str, str], bool, bool]] = [
    # What a browser says; whether it may change something; whether it may read.
    ({"Origin": "http://test"}, True, True),
    ({"Origin": "http://test:80"}, True, True),
    ({"Origin": "HTTP://TEST"}, True, True),
    ({"Origin": "http://test", "Sec-Fetch-Site": "same-origin"}, True, True),
    ({"Sec-Fetch-Site": "same-origin"}, True, True),
    ({"Sec-Fetch-Site": "none"}, False, True),
    ({}, False, True),
    ({"Origin": "null"}, False, False),
    ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, False, False),
    ({"Origin": "https://test"}, False, False),
    ({"Origin": "http://test:8001"}, False, False),
    ({"Origin": "http://test.evil.example"}, False, False),
    ({"Origin": "http://evil.example/http://test"}, False, False),
    ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False, False),
    ({"Origin": "http://test", "Sec-Fetch-Site": "same-site"}, False, False),
    ({"Sec-Fetch-Site": "same-site"}, False, False),
    ({"Sec-Fetch-Site": "cross-site"}, False, False),
    ({"Sec-Fetch-Site": "some-site"}, False, False),
]


@pytest.mark.parametrize(("page", "may_change", "may_read"), PAGES)
async def test_only_pages_of_this_server_use_the_cookie(
    server: Client, page: dict[str, str], *, may_change: bool, may_read: bool
) -> None:
    cookie = cookie_of(await log_in(server))

    read = await server.get("/history/", headers=cookie | page)
    head = await server.head("/history/", headers=cookie | page)
    changes = [
        await server.request(method, path, json=body, headers=cookie | page)
        for method, path, body in (
            ("POST", "/prompt/", PROMPT),
            ("PATCH", "/me/", {"retention_days": 30}),
            ("DELETE", "/history/?all=true", None),
            ("POST", "/v1/embeddings", {"input": "Hi"}),
        )
    ]
    login = await server.post("/login/cookie/", json=CAROL, headers=page)

    assert (read.status_code, head.status_code) == (
        (200, 200) if may_read else (403,) * 2
    )
    for response in (*changes, login):
        assert (response.status_code != 403) == may_change
    if not may_change:
        assert login.json()["type"] == "urn:llamakeep:problem:origin-refused"
        assert "set-cookie" not in login.headers


async def test_the_public_address_is_this_servers_own(real: Settings) -> None:
    public_url = HttpUrl("https://llamas.example/llm")
    settings = real.model_copy(update={"public_url": public_url})
    async with connect(settings, ScriptedProvider()) as client:
        await enrol(client)
        answers = [
            await client.post("/login/cookie/", json=CAROL, headers={"Origin": origin})
            for origin in (
                "https://llamas.example",
                "https://llamas.example:443",
                "https://llamas.example:8443",
                "https://llamas.example/llm",
            )
        ]

    assert [each.status_code for each in answers] == [204, 204, 403, 403]


async def test_a_site_that_may_call_the_server_may_not_use_the_cookie(
    real: Settings,
) -> None:
    site = "https://chat.example.com"
    settings = real.model_copy(update={"cors_origins": (site,)})
    async with connect(settings, ScriptedProvider()) as client:
        await enrol(client)
        cookie = cookie_of(await log_in(client))
        read = await client.get("/history/", headers=cookie | {"Origin": site})

    assert read.status_code == 403
    assert "access-control-allow-credentials" not in read.headers


async def test_a_refused_page_is_told_what_a_proxy_has_to_send(server: Client) -> None:
    response = await server.post(
        "/login/cookie/", json=CAROL, headers={"Origin": "https://llamas.example"}
    )

    detail = response.json()["detail"]
    assert "'https://llamas.example'" in detail
    assert "http://test." in detail
    assert "LLAMAKEEP_TRUSTED_PROXIES" in detail


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
async def test_a_request_with_another_credential_does_not_go_by_the_cookie(
    server: Client, name: str
) -> None:
    cookie = cookie_of(await log_in(server))
    bearer = await server.let_in("dave")
    token = bearer["Authorization"].removeprefix("Bearer ")
    other = bearer if name == "Authorization" else {name: token}
    wrong = {name: other[name][:-1] + "!"}
    page = {"Origin": "http://evil.example"}

    me = await server.get("/me/", headers=cookie | other | page)
    refused = await server.get("/me/", headers=cookie | wrong)
    out = await server.post("/logout/", headers=cookie | other)
    still = await server.get("/me/", headers=cookie)

    assert me.json()["username"] == "dave"
    assert refused.status_code == 401
    assert (out.status_code, "set-cookie" in out.headers) == (204, False)
    assert still.json()["username"] == "carol"


async def test_a_proxys_own_password_is_no_credential_here(server: Client) -> None:
    cookie = cookie_of(await log_in(server))
    basic = {"Authorization": "Basic bGxhbWE6a2VlcA=="}

    with_cookie = await server.get("/me/", headers=cookie | basic)
    without = await server.get("/me/", headers=basic)
    empty = await server.get("/me/", headers=cookie | {"Authorization": "Bearer "})

    assert with_cookie.status_code == 200
    assert (without.status_code, empty.status_code) == (401, 401)


async def test_logging_out_ends_the_login_and_clears_the_cookie(server: Client) -> None:
    login = await log_in(server)
    cookie = cookie_of(login)

    out = await server.post("/logout/", headers=cookie | OWN)
    server.cookies.clear()

    assert out.status_code == 204
    assert attributes_of(out)["name"] == attributes_of(login)["name"]
    assert attributes_of(out)["max-age"] == "0"
    assert (await server.get("/me/", headers=cookie)).status_code == 401


async def test_changing_the_password_keeps_the_login_that_did_it(
    server: Client,
) -> None:
    mine, other = [cookie_of(await log_in(server)) for _ in range(2)]
    change = {"current_password": CAROL["password"], "password": "another, longer one"}

    changed = await server.post("/me/password", json=change, headers=mine | OWN)

    assert changed.status_code == 204
    assert (await server.get("/me/", headers=mine)).status_code == 200
    assert (await server.get("/me/", headers=other)).status_code == 401


@pytest.mark.parametrize(
    "form",
    [
        "{name}=",
        "{name}=no-token",
        "{name}=lka_{token}x",
        "{name}={key}",
        "{name}x={token}",
        "x{name}={token}",
        "__Host-{name}=no-token; {name}={token}",
        "{name}={token}; {name}={other}",
        "{name} = {token}",
        "=; ; {name}",
        "\xff\x00={name}={token}",
    ],
)
async def test_what_is_not_the_cookie_is_no_credential(
    server: Client, form: str
) -> None:
    login = await log_in(server)
    name, token = cookie_of(login)["Cookie"].split("=")
    user = await server.storage.find_user_by_access_token(digest(token))
    assert user is not None
    sent = form.format(
        name=name, token=token, other=new_access_token(), key="lk_" + token[4:]
    )

    response = await server.get("/me/", headers=[(b"Cookie", sent.encode("latin-1"))])

    assert response.status_code == 401


async def test_the_cookie_is_found_among_others_and_in_any_header(
    server: Client,
) -> None:
    cookie = cookie_of(await log_in(server))["Cookie"]

    answers = [
        await server.get("/me/", headers=headers)
        for headers in (
            [("Cookie", f"theme=dark; {cookie};other=1")],
            [("Cookie", "theme=dark"), ("Cookie", cookie)],
            [("Cookie", f"{cookie}; {cookie}")],
        )
    ]

    assert [each.status_code for each in answers] == [200] * 3


async def time_left(client: Client, user: User) -> timedelta:
    query = access_tokens.select().where(access_tokens.c.user_id == user.id)
    row = await client.storage._database.read(lambda c: c.execute(query).one())
    left: timedelta = row.expires_at - utc_now()
    return left


async def test_a_login_is_renewed_while_it_is_used(server: Client) -> None:
    cookie = cookie_of(await log_in(server))
    await grow_old(server, cookie, 5 * DAY)
    carol = await server.storage.find_credentials("carol")
    assert carol is not None

    answers = [await server.get("/me/", headers=cookie) for _ in range(3)]

    assert cookie_of(answers[0]) == cookie
    assert attributes_of(answers[0])["max-age"] == str(7 * 24 * 3600)
    assert [("set-cookie" in each.headers) for each in answers] == [True, False, False]
    assert await time_left(server, carol.user) > WEEK - timedelta(minutes=1)


async def test_a_login_that_is_young_is_not_written(server: Client) -> None:
    cookie = cookie_of(await log_in(server))
    await grow_old(server, cookie, 6 * DAY + timedelta(hours=1))

    answer = await server.get("/me/", headers=cookie)

    assert "set-cookie" not in answer.headers


async def test_an_access_token_in_a_header_is_not_renewed(server: Client) -> None:
    cookie = cookie_of(await log_in(server))
    await grow_old(server, cookie, DAY)
    carol = await server.storage.find_credentials("carol")
    assert carol is not None
    token = cookie["Cookie"].partition("=")[2]

    await server.get("/me/", headers={"Authorization": f"Bearer {token}"})

    assert await time_left(server, carol.user) < DAY


async def test_a_login_that_is_over_is_not_renewed(server: Client) -> None:
    cookie = cookie_of(await log_in(server))
    await grow_old(server, cookie, timedelta(0))

    answer = await server.get("/me/", headers=cookie)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_a_stream_renews_a_login_as_well(server: Client) -> None:
    cookie = cookie_of(await log_in(server))
    await grow_old(server, cookie, DAY)

    streamed = await server.post(
        "/prompt/", json=PROMPT | {"stream": True}, headers=cookie | OWN
    )

    assert cookie_of(streamed) == cookie


async def test_in_demo_mode_logging_out_leaves_the_access_token_to_others(
    client: Client,
) -> None:
    alice = {"username": "alice", "password": "secret1"}
    del client.headers["authorization"]
    login = await client.post(
        "/login/cookie/",
        json=alice,
        headers={"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"},
    )
    client.cookies.clear()
    own = cookie_of(login) | {
        "Origin": "http://127.0.0.1:8000",
        "Host": "127.0.0.1:8000",
    }

    out = await client.post("/logout/", headers=own)

    assert attributes_of(login)["max-age"] == str(400 * 24 * 3600)
    assert attributes_of(out)["max-age"] == "0"
    assert (await client.get("/me/", headers=ALICE)).status_code == 200
