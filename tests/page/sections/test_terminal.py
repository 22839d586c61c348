"""Logging in a terminal on the page."""

from hashlib import sha256

from playwright.sync_api import Page, expect

from tests.page.site import Site
from tests.page.tabs import PASSWORDS, Tabs, check_everywhere

VERIFIER = "what only the terminal knows, and nobody sees"
CHALLENGE = sha256(VERIFIER.encode()).hexdigest()
ADDRESS = f"/terminal#{CHALLENGE}.alice%40laptop%20%3Cb%3E"
CHECK = f"{CHALLENGE[:4]}-{CHALLENGE[4:8]}".upper()


def test_the_page_asks_and_shows_a_code_for_the_terminal(
    page: Page, site: Site
) -> None:
    page.goto(ADDRESS)
    expect(page.get_by_text("alice@laptop <b>")).to_be_visible()
    expect(page.get_by_text(CHECK)).to_be_visible()
    check_everywhere(page)
    page.get_by_role("button", name="Yes, log it in").click()
    code = page.locator(".secret code").inner_text()
    check_everywhere(page)
    body = {"code": code, "verifier": VERIFIER}
    login = site.call("POST", "/login/code/", json=body)
    headers = {"Authorization": f"Bearer {login['token']}"}
    assert site.call("GET", "/me/", headers=headers)["username"] == "alice"


def test_who_says_no_gives_nothing_and_a_wrong_address_asks_nothing(
    page: Page,
) -> None:
    page.goto(ADDRESS)
    page.get_by_role("button", name="No", exact=True).click()
    expect(page.get_by_text("Nothing was given to it.")).to_be_visible()
    expect(page.locator(".secret")).to_have_count(0)
    page.goto("/terminal#0.x")
    expect(page.get_by_text("Run llamakeep login in a terminal")).to_be_visible()


def test_who_is_not_logged_in_comes_back_to_the_question(
    tabs: Tabs, site: Site
) -> None:
    site.add_admin("root", PASSWORDS["root"])
    page = tabs.open(site, ADDRESS, user=None)
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill(PASSWORDS["root"])
    page.keyboard.press("Enter")
    expect(page.get_by_text("asks to act as root")).to_be_visible()
