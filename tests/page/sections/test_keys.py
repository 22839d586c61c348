"""API keys: made, used, rotated and revoked."""

import json
import subprocess
from typing import Any

from playwright.sync_api import Page, expect

from tests.debian import debian_program
from tests.page.site import Site
from tests.page.tabs import Tabs, check_everywhere
from tests.waiting import LONG_ENOUGH


def typed(command: str) -> dict[str, Any]:
    """Run a command as people do who have copied it, and return the JSON it prints."""
    debian_program("curl")
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, timeout=LONG_ENOUGH, check=True
    )
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_a_key_is_shown_once_with_a_command_that_works(page: Page, site: Site) -> None:
    page.goto("/settings/keys")
    expect(page.get_by_text("You have no API keys.")).to_be_visible()
    page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog", name="Create an API key")
    dialog.get_by_text("Models, limits").click()
    dialog.get_by_label("Dollars a day").fill("0.5")
    dialog.get_by_label("Prompts a day of").fill("9")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_be_visible()  # it has no name
    check_everywhere(page)
    dialog.get_by_label("Dollars a day").fill("")
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_label("Delete from the history").check()
    dialog.get_by_label("Expires").select_option("In 30 days")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    answer = typed(page.get_by_label("An example", exact=True).inner_text())
    assert answer["response"] == "Hello, world."
    row = page.get_by_role("row").filter(has_text="nightly")
    expect(row).to_contain_text("delete, history, prompt")
    expect(row).to_contain_text("Prompts a day of each end user: 9")
    expect(row).to_contain_text("not yet")
    check_everywhere(page)
    page.reload()
    expect(row).to_be_visible()
    expect(page.get_by_label("An example", exact=True)).to_have_count(0)
    secret = site.call("GET", "/keys/")["keys"][0]
    assert secret["limits"]["end_user_prompts_per_day"] == 9


def test_a_rotated_key_works_beside_the_new_one_and_a_revoked_one_not_at_all(
    page: Page, site: Site
) -> None:
    old = site.call("POST", "/keys/", json={"name": "nightly"})
    page.goto("/settings/keys")
    page.get_by_role("button", name="More about nightly").press("Enter")
    page.get_by_role("menuitem", name="Rotate").press("Enter")
    dialog = page.get_by_role("dialog", name="Rotate")
    dialog.get_by_label("The old one ends").select_option("In a day")
    dialog.get_by_role("button", name="Rotate").click()
    secret = page.get_by_label("The API key “nightly”.", exact=True).inner_text()
    me = f"curl -s {site.origin}/me/ -H 'Authorization: Bearer "
    assert [typed(f"{me}{key}'")["username"] for key in (secret, old["key"])] == (
        ["alice"] * 2
    )
    page.get_by_role("button", name=f"…{secret[-4:]}").click()
    page.get_by_role("menuitem", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="More about")).to_have_count(1)
    assert typed(f"{me}{secret}'")["status"] == 401
    assert typed(f"{me}{old['key']}'")["username"] == "alice"


def test_a_refusal_is_shown_in_the_form_and_what_was_typed_stays(
    tabs: Tabs, site: Site
) -> None:
    site.add_admin("root", "long enough")
    page = tabs.open(site, "/settings/keys", user="root")
    page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("for users")
    dialog.get_by_label("Manage users").check()
    page.route("**/keys/", lambda route: route.abort())
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute("**/keys/")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_label("An example", exact=True)).to_contain_text("/prompt/")
    expect(page.get_by_role("row").filter(has_text="for users")).to_contain_text(
        "admin"
    )
