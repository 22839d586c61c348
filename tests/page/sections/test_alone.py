"""Pages for those who cannot log in yet: the first user's, and new passwords."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.processes import ROOT, outside_variables
from tests.page.site import Site
from tests.page.tabs import PASSWORDS, Tabs, check_everywhere
from tests.waiting import LONG_ENOUGH


@pytest.fixture
def welcome(tmp_path: Path) -> Iterator[str]:
    """The address that a new server prints at its first start."""
    with subprocess.Popen(
        [sys.executable, "-m", "llamakeep", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env=outside_variables()
        | {"PYTHONPATH": str(ROOT), "LLAMAKEEP_LOCAL_MODEL": "none"}
        | {"LLAMAKEEP_SHUTDOWN_GRACE": "0.3"},
        text=True,
    ) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if found := re.search(r"\S+/welcome#\S+", line):
                yield found[0]
                break
        server.terminate()
        server.wait(LONG_ENOUGH)


def test_the_printed_address_makes_the_first_administrator_once(
    tabs: Tabs, welcome: str
) -> None:
    page = tabs.blank()
    page.goto(welcome)
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    assert page.url == welcome.partition("#")[0]
    check_everywhere(page)
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    page.get_by_label("Password").fill("long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Manage")).to_be_visible()
    page.goto(welcome)
    expect(page.get_by_text("This server already has users")).to_be_visible()
    expect(page.get_by_text("llamakeep user add --admin NAME")).to_be_visible()
    check_everywhere(page)


def test_a_wrong_token_is_told_how_to_get_another(tabs: Tabs, welcome: str) -> None:
    page = tabs.blank()
    page.goto(welcome[:-4] + "AAAA")
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill("long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("prints one when it starts")
    page.get_by_label("Set-up token").fill(welcome.partition("#")[2])
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Manage")).to_be_visible()


def test_a_reset_link_sets_a_password_once(tabs: Tabs, site: Site) -> None:
    site.add_admin("root", "long enough")
    manager = tabs.open(site, "/manage/users", user="root")
    manager.get_by_role("button", name="Create a user").click()
    manager.get_by_role("dialog").get_by_label("Name").fill("carol")
    manager.keyboard.press("Enter")
    link = manager.locator(".secret code").inner_text()
    page = tabs.open(site, link.removeprefix(site.origin), user=None)
    expect(page.get_by_role("heading", name="Choose a password")).to_be_visible()
    assert "#" not in page.url
    check_everywhere(page)
    page.get_by_label("New password").fill("something new")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Name").fill("carol")
    page.get_by_label("Password").fill("something new")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="carol")).to_be_visible()
    page.goto(link)
    page.get_by_label("New password").fill("something else")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("administrator")


def test_an_invitation_makes_an_account_once(tabs: Tabs, site: Site) -> None:
    site.add_admin("root", PASSWORDS["root"])
    manager = tabs.open(site, "/manage/invitations", user="root")
    expect(manager.get_by_text("No invitation is open.")).to_be_visible()
    manager.get_by_role("button", name="Invite").click()
    dialog = manager.get_by_role("dialog")
    dialog.get_by_label("Recipient").fill("dora@example.com")
    check_everywhere(manager)
    dialog.get_by_role("button", name="Make a link").click()
    link = manager.locator(".secret code").inner_text()
    row = manager.get_by_role("row").filter(has_text="dora@example.com")
    expect(row).to_be_visible()
    check_everywhere(manager)
    page = tabs.open(site, link.removeprefix(site.origin), user=None)
    expect(page.get_by_role("heading", name="You are invited")).to_be_visible()
    assert "#" not in page.url
    check_everywhere(page)
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill("long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("already")
    page.get_by_label("Name").fill("dora")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="dora")).to_be_visible()
    page.goto(link)
    page.get_by_label("Name").fill("erin")
    page.get_by_label("Password").fill("long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Ask an administrator")
    manager.reload()
    expect(manager.get_by_text("No invitation is open.")).to_be_visible()
