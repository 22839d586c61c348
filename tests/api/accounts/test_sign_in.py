"""Signing in through an OpenID Connect provider, and all that must not let in."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import HttpUrl, SecretStr

from llamakeep.domain import Actor, AuditKind, UserRole
from llamakeep.settings import Settings
from llamakeep.sign_in import metadata
from tests.api.accounts.identity_provider import (
    BROWSER,
    CALLBACK,
    Browser,
    IdentityProvider,
    challenge_of,
    new_key,
    running_provider,
)
from tests.api.accounts.logins import OWN, enrol, grow_old, log_in
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider
from tests.providers.stub_server import Then


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with running_provider() as provider:
        yield provider


@pytest.fixture
async def browser(real: Settings, provider: IdentityProvider) -> AsyncIterator[Browser]:
    async with connect(provider.settings(real), ScriptedProvider()) as client:
        await enrol(client)
        yield Browser(client, provider)


async def users(client: Client) -> dict[str, UserRole]:
    return {user.username: user.role for user in await client.storage.list_users()}


async def test_a_first_sign_in_creates_a_user_and_a_second_one_finds_it(
    browser: Browser,
) -> None:
    first = await browser.me(await browser.sign_in())
    # Names change; who it is does not.
    second = await browser.me(await browser.sign_in(preferred_username="dorothy"))

    assert first["username"] == second["username"] == "dora"
    assert first["id"] == second["id"]
    assert first["role"] == "user"


async def test_the_provider_is_asked_with_state_nonce_and_pkce(
    browser: Browser,
) -> None:
    await browser.sign_in()

    query = browser.query
    assert query["response_type"] == "code"
    assert query["redirect_uri"] == f"http://test{CALLBACK}"
    assert query["scope"] == "openid profile email"
    assert query["code_challenge_method"] == "S256"
    [asked] = browser.provider.asked("/token")
    form = parse_qs(asked.body.decode())
    assert challenge_of(form["code_verifier"][0]) == query["code_challenge"]
    assert form["code"] == ["the-code"]
    assert form["redirect_uri"] == [query["redirect_uri"]]
    assert form["client_id"] == ["llamakeep"]


async def test_a_secret_is_sent_to_the_provider_in_a_header(
    real: Settings, provider: IdentityProvider
) -> None:
    secret = {"oidc_client_secret": SecretStr("s:cret")}
    async with connect(provider.settings(real, **secret)) as client:
        await Browser(client, provider).sign_in()

    [asked] = provider.asked("/token")
    assert asked.headers["authorization"] == "Basic bGxhbWFrZWVwOnMlM0FjcmV0"
    assert b"client" not in asked.body


async def test_a_name_that_is_taken_never_leads_into_its_account(
    browser: Browser,
) -> None:
    stranger = await browser.me(await browser.sign_in(preferred_username="Carol"))

    assert stranger["username"] == "Carol-2"
    assert await users(browser.client) == {
        "alice": UserRole.USER,
        "bob": UserRole.USER,
        "carol": UserRole.USER,
        "Carol-2": UserRole.USER,
    }


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "another"}, "aud"),
        ({"aud": ["llamakeep", "another"]}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": int(time.time()) - 120}, "expired"),
        ({"exp": None}, "exp"),
        ({"iat": int(time.time()) + 3600}, "future"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "x" * 256}, "subject"),
    ],
)
async def test_a_token_that_is_not_for_this_sign_in_lets_nobody_in(
    browser: Browser,
    caplog: pytest.LogCaptureFixture,
    claims: dict[str, Any],
    reason: str,
) -> None:
    before = await users(browser.client)

    response = await browser.sign_in(**claims)

    assert response.status_code == 401
    assert "=lka_" not in str(response.headers)
    assert reason in caplog.text
    assert await users(browser.client) == before


async def test_a_clock_that_is_a_little_wrong_does_not_matter(
    browser: Browser,
) -> None:
    now = int(time.time())

    await browser.me(await browser.sign_in(iat=now + 40, exp=now + 340))
    await browser.me(await browser.sign_in(iat=now - 340, exp=now - 40))


async def test_tokens_that_are_not_signed_by_the_provider_let_nobody_in(
    browser: Browser,
) -> None:
    await browser.begin()
    claims = browser.provider.claims(browser.query["nonce"])
    statuses = []

    # Another key of the same name, no signature, a shared secret, and no token.
    browser.provider.issue(claims, new_key("first"))
    statuses.append((await browser.come_back()).status_code)
    unsigned = jwt.encode({"alg": "ES256", "kid": "first"}, claims, new_key("first"))
    body = unsigned.split(".")[1]
    browser.provider.say_token(f"eyJhbGciOiJub25lIn0.{body}.")
    statuses.append((await browser.come_back()).status_code)
    secret = OctKey.generate_key(256)
    header = {"alg": "HS256", "kid": "first"}
    browser.provider.say_token(jwt.encode(header, claims, secret, algorithms=["HS256"]))
    statuses.append((await browser.come_back()).status_code)
    browser.provider.say_token("garbage")
    statuses.append((await browser.come_back()).status_code)

    assert statuses == [401, 401, 401, 401]


async def test_new_keys_are_read_when_a_token_names_one(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.me(await browser.sign_in())
    monkeypatch.setattr(metadata, "PAUSE", 0)
    browser.provider.keys = [new_key("second")]
    browser.provider.publish()

    await browser.me(await browser.sign_in())

    assert len(browser.provider.asked("/keys")) == 2


async def test_unknown_keys_do_not_make_the_server_ask_again_and_again(
    browser: Browser,
) -> None:
    await browser.sign_in()
    statuses = []

    for number in range(5):
        await browser.begin()
        claims = browser.provider.claims(browser.query["nonce"])
        browser.provider.issue(claims, new_key(f"forged-{number}"))
        statuses.append((await browser.come_back()).status_code)

    assert statuses == [401] * 5
    assert len(browser.provider.asked("/keys")) == 1
    assert len(browser.provider.asked("/.well-known/openid-configuration")) == 1


async def test_a_redirect_counts_only_in_the_browser_that_began(
    browser: Browser,
) -> None:
    other = Browser(browser.client, browser.provider)
    await other.begin()
    await browser.begin()
    browser.provider.issue(browser.provider.claims(browser.query["nonce"]))

    refused = [
        await browser.come_back(cookie=""),
        await browser.come_back(cookie=other.cookie),
        await browser.come_back(cookie=f"{browser.cookie}; {other.cookie}"),
        await browser.come_back(state="made up"),
        await browser.come_back(state="é"),
        await browser.come_back(iss="https://evil.example"),
    ]

    assert [one.status_code for one in refused] == [401] * 6
    assert browser.provider.asked("/token") == []


async def test_a_sign_in_may_take_ten_minutes(browser: Browser) -> None:
    await browser.begin()
    browser.provider.issue(browser.provider.claims(browser.query["nonce"]))
    *parts, begun_at = browser.cookie.split(".")
    old = ".".join([*parts, str(int(begun_at) - 601)])

    assert (await browser.come_back(cookie=old)).status_code == 401
    await browser.me(await browser.come_back())


async def test_what_the_provider_refuses_lets_nobody_in(browser: Browser) -> None:
    """A code works once: the provider refuses one that was used."""
    await browser.begin()
    browser.provider.say("/token", {"error": "invalid_grant"}, status=400)

    replayed = await browser.come_back()
    denied = await browser.come_back(error="access_denied")

    assert (replayed.status_code, denied.status_code) == (401, 401)
    assert "Back to the log-in" in denied.text


@pytest.mark.parametrize(
    "trouble",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
    ],
)
async def test_a_provider_that_is_not_what_the_settings_say_is_not_used(
    browser: Browser, trouble: dict[str, Any]
) -> None:
    provider = browser.provider
    document = provider.document(**trouble)
    provider.say("/.well-known/openid-configuration", document)

    response = await browser.client.get("/login/oidc/", headers=BROWSER)

    assert response.status_code == 503
    assert "Passwords" in response.text


async def test_without_the_provider_passwords_work(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/.well-known/openid-configuration"
    browser.provider.stub.script_of_path[path] = [Then.RESET]

    refused = await browser.client.get("/login/oidc/")
    again = await browser.client.get("/login/oidc/")
    login = await log_in(browser.client)

    assert (refused.status_code, login.status_code) == (503, 204)
    assert refused.json()["type"] == "urn:llamakeep:problem:sign-in-unavailable"
    assert "sign-in failed: http://127.0.0.1" in caplog.text
    # Whoever comes right after it does not wait for the provider as well.
    assert again.status_code == 503
    assert len(browser.provider.asked(path)) == 1


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.provider.say("/.well-known/openid-configuration", b" " * 300_000)

    assert (await browser.client.get("/login/oidc/")).status_code == 503
    assert "more than 262144 bytes" in caplog.text


@pytest.mark.parametrize(
    ("email", "status"),
    [
        ({"email": "dora@example.com", "email_verified": True}, 303),
        ({"email": "dora@EXAMPLE.com", "email_verified": True}, 303),
        ({"email": "dora@example.com", "email_verified": False}, 401),
        ({"email": "dora@example.com"}, 401),
        ({"email": "dora@evil.example", "email_verified": True}, 401),
        ({"email": "dora@example.com@evil.example", "email_verified": True}, 401),
        ({}, 401),
    ],
)
async def test_only_verified_addresses_of_the_domains_may_sign_in(
    real: Settings, provider: IdentityProvider, email: dict[str, Any], status: int
) -> None:
    settings = provider.settings(real, oidc_allowed_domains=("example.com",))
    async with connect(settings) as client:
        response = await Browser(client, provider).sign_in(**email)

    assert response.status_code == status


async def test_groups_make_administrators_and_take_it_back(
    real: Settings, provider: IdentityProvider
) -> None:
    settings = provider.settings(
        real, oidc_admin_groups=("ops",), oidc_allowed_groups=("staff",)
    )
    async with connect(settings) as client:
        browser = Browser(client, provider)
        admin = await browser.me(await browser.sign_in(groups=["staff", "ops"]))
        user = await browser.me(await browser.sign_in(groups=["staff"]))
        stranger = await browser.sign_in(groups=["ops"])
        events = await client.storage.audit()

    assert (admin["role"], user["role"]) == ("admin", "user")
    assert admin["id"] == user["id"]
    assert stranger.status_code == 401
    kinds = [event.kind for event in events]
    assert AuditKind.ROLE_CHANGED in kinds
    assert kinds[0] is AuditKind.LOGIN_FAILED


async def test_what_the_id_token_lacks_is_read_from_the_userinfo(
    real: Settings, provider: IdentityProvider
) -> None:
    url = f"{provider.issuer}/userinfo"
    document = provider.document(userinfo_endpoint=url)
    provider.say("/.well-known/openid-configuration", document)
    settings = provider.settings(real, oidc_admin_groups=("ops",))
    async with connect(settings) as client:
        browser = Browser(client, provider)
        await browser.begin()
        claims = provider.claims(browser.query["nonce"])
        key = provider.keys[0]
        id_token = jwt.encode({"alg": "ES256", "kid": "first"}, claims, key)
        provider.say("/token", {"id_token": id_token, "access_token": "at"})
        provider.say("/userinfo", {"sub": "1234", "groups": ["ops"]})
        admin = await browser.me(await browser.come_back())
        provider.say("/userinfo", {"sub": "of another", "groups": ["ops"]})
        refused = await browser.come_back()

    assert admin["role"] == "admin"
    assert provider.asked("/userinfo")[0].headers["authorization"] == "Bearer at"
    assert refused.status_code == 401


async def test_a_disabled_user_does_not_sign_in_and_a_deleted_one_is_new(
    browser: Browser,
) -> None:
    client = browser.client
    first = await browser.me(await browser.sign_in())
    carol = await client.storage.find_credentials("carol")
    assert carol is not None
    admin = await client.storage.change_user(
        carol.user.id, role=UserRole.ADMIN, actor=Actor()
    )
    headers = await client.let_in(admin)
    path = f"/admin/users/{first['id']}"

    await client.patch(path, json={"disabled": True}, headers=headers)
    refused = await browser.sign_in()
    await client.delete(path, headers=headers)
    again = await browser.me(await browser.sign_in())

    assert refused.status_code == 401
    assert "disabled" in refused.text
    assert again["id"] != first["id"]


async def test_the_login_ends_when_it_said_so_however_much_it_is_used(
    browser: Browser,
) -> None:
    """The provider decides again then; a login with a password is extended."""
    me = await browser.me(await browser.sign_in())
    client = browser.client
    found = await client.storage.find_credentials("dora")
    assert found is not None
    [login] = await client.storage.list_logins(found.user)
    cookie = {"Cookie": me["cookie"]}
    await grow_old(client, cookie, timedelta(minutes=5))

    used = await client.get("/me/", headers=cookie)

    assert used.status_code == 200
    assert "set-cookie" not in used.headers
    assert login.is_cookie


async def test_logging_out_says_where_the_provider_ends_its_session(
    browser: Browser,
) -> None:
    me = await browser.me(await browser.sign_in())
    login = await log_in(browser.client)
    by_password = login.headers["set-cookie"].partition(";")[0]

    out = await browser.client.post("/logout/", headers=OWN | {"Cookie": me["cookie"]})
    browser.client.cookies.clear()
    gone = await browser.client.get("/me/", headers={"Cookie": me["cookie"]})
    other = await browser.client.post("/logout/", headers=OWN | {"Cookie": by_password})

    url = out.json()["end_session_url"]
    assert url.startswith(f"{browser.provider.issuer}/logout?client_id=llamakeep&")
    assert gone.status_code == 401
    assert (other.status_code, other.content) == (204, b"")


async def test_over_tls_the_cookies_belong_to_tls(
    real: Settings, provider: IdentityProvider
) -> None:
    url = HttpUrl("https://llamas.example/llm")
    async with connect(provider.settings(real, public_url=url)) as client:
        browser = Browser(client, provider)
        await browser.begin()
        provider.issue(provider.claims(browser.query["nonce"]))
        response = await browser.come_back()

    assert browser.cookie.startswith("__Secure-llamakeep-sign-in=")
    assert browser.query["redirect_uri"] == f"https://llamas.example/llm{CALLBACK}"
    flow, login = response.headers.get_list("set-cookie")
    assert "Path=/llm/login/oidc" in flow
    assert "SameSite=lax" in flow
    assert "Secure" in flow
    assert login.startswith("__Host-llamakeep-")
    assert "SameSite=Strict; Secure" in login
    assert response.headers["location"] == "/llm/"


async def test_a_server_without_a_provider_says_so(server: Client) -> None:
    begun = await server.get("/login/oidc/")
    back = await server.get(CALLBACK)
    about = await server.get("/about/")

    assert (begun.status_code, back.status_code) == (404, 404)
    assert "LLAMAKEEP_OIDC_ISSUER" in begun.json()["detail"]
    assert about.json()["sign_in"] is None


async def test_pages_learn_of_the_provider(browser: Browser) -> None:
    about = await browser.client.get("/about/")

    assert about.json()["sign_in"] == {"name": "127.0.0.1", "path": "login/oidc/"}
    # Nobody asked it anything for that.
    assert browser.provider.stub.heard == []
