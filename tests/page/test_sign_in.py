"""Signing in through a real OpenID Connect provider, in a browser."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.processes import outside_variables
from tests.page.site import NewSite, eventually
from tests.page.tabs import PASSWORDS
from tests.waiting import LONG_ENOUGH

DORA = {
    "sub": "1234",
    "preferred_username": "dora",
    "email": "dora@example.com",
    "email_verified": True,
    "groups": ["llm-admins"],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def issuer() -> Iterator[str]:
    """A provider in a process of its own, that knows dora."""
    port = free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    command += ["--require-nonce", "true", "--user-claims", json.dumps(DORA)]
    with subprocess.Popen(
        command,
        env=outside_variables() | {"AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: is_there(url))
            yield url
        finally:
            process.terminate()


def is_there(url: str) -> bool:
    with suppress(httpx2.HTTPError):
        path = f"{url}/.well-known/openid-configuration"
        return httpx2.get(path, trust_env=False, verify=False).is_success
    return False


def test_a_user_signs_in_through_a_provider_and_out_of_it_again(
    browser: Browser, new_site: NewSite, issuer: str
) -> None:
    site = new_site(
        demo=False,
        oidc_issuer=issuer,
        oidc_client_id="llamakeep",
        oidc_client_secret="secret",
        oidc_name="Example SSO",
        oidc_allowed_domains=["example.com"],
        oidc_admin_groups=["llm-admins"],
    )
    page = browser.new_page()
    page.set_default_timeout(LONG_ENOUGH * 1000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    page.goto(f"{site.origin}/terminal#{'0' * 64}.laptop")
    page.get_by_role("link", name="Sign in with Example SSO").click()
    page.get_by_role("button", name=str(DORA["sub"])).click()

    expect(page.get_by_text("asks to act as dora")).to_be_visible()
    page.goto(site.origin)
    expect(page.get_by_role("textbox", name="Prompt")).to_be_visible()
    me = page.evaluate("fetch('me/').then((response) => response.json())")
    assert (me["username"], me["role"]) == ("dora", "admin")

    page.get_by_role("button", name="dora").click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page).to_have_url(re.compile(f"^{re.escape(issuer)}/oauth2/end_session"))
    page.goto(site.origin)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert not [line for line in said if "Content Security Policy" in line]
    page.close()


def test_who_is_invited_signs_in_through_a_provider_instead(
    browser: Browser, new_site: NewSite, issuer: str
) -> None:
    site = new_site(
        demo=False,
        oidc_issuer=issuer,
        oidc_client_id="llamakeep",
        oidc_client_secret="secret",
    )
    root = {"username": "root", "password": PASSWORDS["root"]}
    site.add_admin(root["username"], root["password"])
    page = browser.new_page()
    page.set_default_timeout(LONG_ENOUGH * 1000)
    login = site.call("POST", "/login/", json=root)
    headers = {"Authorization": f"Bearer {login['token']}"}
    body = {"role": "admin", "limits": {"tokens_per_day": 9}}
    made = site.call("POST", "/admin/invitations/", json=body, headers=headers)

    page.goto(made["url"])
    page.get_by_role("button", name="Sign in with 127.0.0.1 instead").click()
    page.get_by_role("button", name=str(DORA["sub"])).click()

    expect(page.get_by_role("textbox", name="Prompt")).to_be_visible()
    me = page.evaluate("fetch('me/').then((response) => response.json())")
    assert (me["username"], me["role"]) == ("dora", "admin")
    left = site.call("GET", "/admin/invitations/", headers=headers)
    assert left["invitations"] == []
    page.close()
