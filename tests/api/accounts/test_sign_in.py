"""Signing in through an OpenID Connect provider."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from pydantic import HttpUrl, SecretStr

from llamakeep.domain import Actor, AuditKind, UserRole
from llamakeep.settings import Settings
from tests.api.accounts.identity_provider import (
    CALLBACK,
    Browser,
    IdentityProvider,
    challenge_of,
)
from tests.api.accounts.logins import OWN, grow_old, log_in
from tests.api.serving import Client, connect


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
    real: Settings, identities: IdentityProvider
) -> None:
    secret = {"oidc_client_secret": SecretStr("s:cret")}
    async with connect(identities.settings(real, **secret)) as client:
        await Browser(client, identities).sign_in()

    [asked] = identities.asked("/token")
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
    real: Settings, identities: IdentityProvider, email: dict[str, Any], status: int
) -> None:
    settings = identities.settings(real, oidc_allowed_domains=("example.com",))
    async with connect(settings) as client:
        response = await Browser(client, identities).sign_in(**email)

    assert response.status_code == status


async def test_groups_make_administrators_and_take_it_back(
    real: Settings, identities: IdentityProvider
) -> None:
    settings = identities.settings(
        real, oidc_admin_groups=("ops",), oidc_allowed_groups=("staff",)
    )
    async with connect(settings) as client:
        browser = Browser(client, identities)
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


async def test_who_is_in_the_group_no_more_is_logged_out_when_the_provider_says_so(
    real: Settings, identities: IdentityProvider
) -> None:
    settings = identities.settings(real, oidc_allowed_groups=("staff",))
    async with connect(settings) as client:
        browser = Browser(client, identities)
        dora = await browser.me(await browser.sign_in(groups=["staff"]))
        other = await browser.me(await browser.sign_in(groups=["staff"], sub="5678"))
        await browser.sign_in(groups=["guests"])
        after = [
            await client.get("/me/", headers={"Cookie": each["cookie"]})
            for each in (dora, other)
        ]

    assert [each.status_code for each in after] == [401, 200]


async def test_what_the_id_token_lacks_is_read_from_the_userinfo(
    real: Settings, identities: IdentityProvider
) -> None:
    url = f"{identities.issuer}/userinfo"
    document = identities.document(userinfo_endpoint=url)
    identities.say("/.well-known/openid-configuration", document)
    settings = identities.settings(real, oidc_admin_groups=("ops",))
    async with connect(settings) as client:
        browser = Browser(client, identities)
        await browser.begin()
        claims = identities.claims(browser.query["nonce"])
        key = identities.keys[0]
        id_token = jwt.encode({"alg": "ES256", "kid": "first"}, claims, key)
        identities.say("/token", {"id_token": id_token, "access_token": "at"})
        identities.say("/userinfo", {"sub": "1234", "groups": ["ops"]})
        admin = await browser.me(await browser.come_back())
        identities.say("/userinfo", {"sub": "of another", "groups": ["ops"]})
        refused = await browser.come_back()

    assert admin["role"] == "admin"
    assert identities.asked("/userinfo")[0].headers["authorization"] == "Bearer at"
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
    real: Settings, identities: IdentityProvider
) -> None:
    url = HttpUrl("https://llamas.example/llm")
    async with connect(identities.settings(real, public_url=url)) as client:
        browser = Browser(client, identities)
        await browser.begin()
        identities.issue(identities.claims(browser.query["nonce"]))
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
