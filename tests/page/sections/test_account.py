"""The user's own account: logins, password, what is kept, and looks."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.page.site import NewSite, Site
from tests.page.tabs import PHONE, Tabs, check_everywhere, send

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604.1"
)


def test_a_login_elsewhere_is_seen_and_ended(tabs: Tabs, site: Site) -> None:
    site.add_admin("root", "long enough")
    phone = tabs.open(site, user="root", user_agent=IPHONE, viewport=PHONE)
    page = tabs.open(site, "/settings", user="root")
    page.get_by_role("button", name="Log out there: Safari on iOS").click()
    dialog = page.get_by_role("dialog", name="Log out of Safari on iOS?")
    dialog.get_by_role("button", name="Log out there").click()
    expect(page.get_by_text("Safari on iOS")).to_have_count(0)
    phone.get_by_role("textbox", name="Prompt").fill("What is typed stays")
    phone.keyboard.press("Control+Enter")
    again = phone.get_by_role("dialog", name="Log in again")
    again.get_by_label("Password").fill("long enough")
    phone.keyboard.press("Enter")
    expect(phone.get_by_text("Hello, world.")).to_be_visible()
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    assert page.context.cookies() == []


def test_a_password_is_changed_by_who_knows_the_current_one(
    tabs: Tabs, site: Site
) -> None:
    site.add_admin("root", "long enough")
    page = tabs.open(site, "/settings", user="root")
    page.get_by_label("Current password").fill("something else")
    page.get_by_label("New password").fill("even longer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not your password")
    check_everywhere(page)
    page.get_by_label("Current password").fill("long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The password is changed.").first).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    user = {"username": "root", "password": "even longer"}
    site.call("POST", "/login/", json=user)


def test_everything_is_exported_to_a_file_and_imported_from_it(
    tabs: Tabs, site: Site, tmp_path: Path
) -> None:
    site.ask("What is a llama?")
    page = tabs.open(site, "/settings")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as NDJSON").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    other = tabs.open(site, "/settings", user="bob")
    field = other.get_by_label("A file of an export")
    for told in ("1 run imported, 0 known already.", "0 runs imported, 1 known"):
        field.set_input_files(file)
        other.get_by_role("button", name="Import").click()
        expect(other.get_by_text(told).first).to_be_visible()
    field.set_input_files({"name": "x", "mimeType": "", "buffer": b"no json\n"})
    other.get_by_role("button", name="Import").click()
    expect(other.get_by_role("alert")).to_contain_text("line 1")
    check_everywhere(other)


def test_looks_and_keys_are_chosen_and_count_at_once(page: Page) -> None:
    page.goto("/settings")
    page.get_by_label("Dark").check()
    expect(page.locator("body")).to_have_css("background-color", "rgb(21, 20, 18)")
    page.get_by_label("Begins a new line always").check()
    page.get_by_label("Shortcuts of single keys").uncheck()
    page.keyboard.press("n")
    page.keyboard.press("g")
    page.keyboard.press("k")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Dark")).to_be_checked()
    expect(page.get_by_label("Shortcuts of single keys")).not_to_be_checked()
    page.get_by_role("link", name="New conversation").click()
    field = page.get_by_role("textbox", name="Prompt")
    field.press_sequentially("One")
    field.press("Enter")
    expect(field).to_have_value("One\n")
    send(page, "Two")
    expect(page.get_by_text("Hello, world.")).to_be_visible()


def test_days_of_retention_are_set_and_unset(page: Page, site: Site) -> None:
    page.goto("/settings")
    expect(page.get_by_text("This server is a demonstration")).to_be_visible()
    days = page.get_by_label("Days after which your runs are deleted")
    for typed, stored in (("30", 30), ("", None)):
        days.fill(typed)
        days.press("Enter")
        expect(page.get_by_text("Saved.").last).to_be_visible()
        page.reload()
        expect(days).to_have_value(typed)
        assert site.call("GET", "/me/")["retention_days"] == stored


def test_the_webhook_secret_is_shown_when_asked_for_and_replaced(
    tabs: Tabs, site: Site, new_site: NewSite
) -> None:
    page = tabs.open(site, "/settings")
    page.get_by_role("button", name="Show the secret").click()
    expect(page.get_by_text("This server sends no webhooks")).to_be_visible()
    sending = new_site(webhooks=True)
    page = tabs.open(sending, "/settings")
    page.get_by_role("button", name="Show the secret").click()
    secret = page.get_by_label("The secret")
    first = secret.inner_text()
    page.get_by_role("button", name="Replace it…").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace it").click()
    expect(page.get_by_text("The previous one signs as well")).to_be_visible()
    assert secret.inner_text() != first
    assert secret.inner_text() == sending.call("GET", "/me/webhook-secret")["secret"]
    check_everywhere(page)
