"""What an identity provider, or somebody in its place, says that must not let in."""

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from llamakeep.sign_in import fetching, metadata
from tests.api.accounts.identity_provider import (
    BROWSER,
    Browser,
    new_key,
)
from tests.api.accounts.logins import log_in
from tests.api.serving import Client
from tests.providers.stub_server import Line, Then, head, piece


async def usernames(client: Client) -> set[str]:
    return {user.username for user in await client.storage.list_users()}


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
    before = await usernames(browser.client)

    response = await browser.sign_in(**claims)

    assert response.status_code == 401
    assert "=lka_" not in str(response.headers)
    assert reason in caplog.text
    assert await usernames(browser.client) == before


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
    identities = browser.provider
    document = identities.document(**trouble)
    identities.say("/.well-known/openid-configuration", document)

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


@pytest.mark.parametrize(
    "script",
    [[Then.HANG], [head(), *[piece(b" "), 0.01] * 200]],
    ids=["silent", "slow"],
)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token"])
async def test_a_provider_that_takes_too_long_is_not_waited_for(
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    script: list[Line],
) -> None:
    if path == "/token":
        await browser.begin()
    browser.provider.stub.script_of_path[path] = script
    monkeypatch.setattr(fetching, "SECONDS", 0.05)

    if path == "/token":
        refused = await browser.come_back()
    else:
        refused = await browser.client.get("/login/oidc/", headers=BROWSER)
    login = await log_in(browser.client)

    assert (refused.status_code, login.status_code) == (503, 204)
    assert f"sign-in failed: {browser.provider.issuer}{path}" in caplog.text
    assert "=lka_" not in str(refused.headers)


async def test_a_token_that_has_let_in_lets_nobody_in_again(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the browser it was made for, and not in another one."""
    await browser.me(await browser.sign_in())
    thief = Browser(browser.client, browser.provider)

    await browser.begin()
    replayed = await browser.come_back()
    await thief.begin()
    substituted = await thief.come_back()

    assert (replayed.status_code, substituted.status_code) == (401, 401)
    assert caplog.text.count("made for another sign-in (nonce)") == 2


async def test_a_browser_has_nothing_left_to_come_back_with(browser: Browser) -> None:
    first = await browser.sign_in()

    cookies = first.headers.get_list("set-cookie")
    [flow] = [each for each in cookies if "sign-in=" in each]
    assert 'sign-in=""' in flow
    assert "Max-Age=0" in flow


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.provider.say("/.well-known/openid-configuration", b" " * 300_000)

    assert (await browser.client.get("/login/oidc/")).status_code == 503
    assert "more than 262144 bytes" in caplog.text
