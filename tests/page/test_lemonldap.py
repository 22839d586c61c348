"""Signing in through LemonLDAP::NG, which is other people's."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.page.lemonldap import SECRET, running_lemonldap
from tests.page.site import NewSite, eventually
from tests.page.test_sign_in import free_port, is_there
from tests.waiting import LONG_ENOUGH


def sign_in(page: Page, user: str) -> None:
    page.get_by_role("link", name="Sign in with").click()
    page.locator("input[name=user]").fill(user)
    page.locator("input[name=password]").fill(user)
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Prompt")).to_be_visible()


def log_out(page: Page, user: str) -> None:
    page.get_by_role("button", name=user).click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_role("button", name="Accept").click()
    # It has ended its own session, and leads back.
    expect(page.get_by_role("link", name="Sign in with")).to_be_visible()


def test_users_of_lemonldap_sign_in_with_their_groups_and_out_again(
    browser: Browser, new_site: NewSite, tmp_path: Path
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/"
    site = new_site(
        demo=False,
        oidc_issuer=issuer,
        oidc_client_id="llamakeep",
        oidc_client_secret=SECRET,
        oidc_scopes=["openid", "profile", "email", "groups"],
        oidc_allowed_groups=["staff"],
        oidc_admin_groups=["llm-admins"],
    )
    page = browser.new_page()
    page.set_default_timeout(LONG_ENOUGH * 1000)
    who = "fetch('me/').then((response) => response.json())"
    with running_lemonldap(tmp_path / "lemonldap", port, site.origin):
        eventually(lambda: is_there(issuer.rstrip("/")))

        page.goto(site.origin)
        sign_in(page, "dwho")
        admin = page.evaluate(who)
        log_out(page, "dwho")
        # It asks for the password again.
        sign_in(page, "rtyler")
        user = page.evaluate(who)

    assert (admin["username"], admin["role"]) == ("dwho", "admin")
    assert (user["username"], user["role"]) == ("rtyler", "user")
    page.close()
