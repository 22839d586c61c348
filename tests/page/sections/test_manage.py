"""Administration: users, the audit log, providers, and what all users do."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.site import MODEL, NewSite, Site
from tests.page.tabs import PASSWORDS, Tabs, check_everywhere


def managing(tabs: Tabs, site: Site, path: str) -> Page:
    """Return a page of an administrator."""
    site.add_admin("root", PASSWORDS["root"])
    return tabs.open(site, f"/manage/{path}", user="root")


def choose(page: Page, user: str, action: str) -> None:
    page.get_by_role("button", name=f"More about {user}").click()
    page.get_by_role("menuitem", name=action).click()


def test_users_are_created_changed_disabled_and_deleted(tabs: Tabs, site: Site) -> None:
    page = managing(tabs, site, "users")
    page.get_by_role("button", name="Create a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("carol")
    dialog.get_by_label("Password").fill("long enough")
    dialog.get_by_label("Role").select_option("Administrator")
    dialog.get_by_role("button", name="Create").click()
    row = page.get_by_role("row").filter(has_text="carol")
    expect(row).to_contain_text("administrator")
    choose(page, "carol", "Make a regular user")
    dialog.get_by_role("button", name="Make a regular user").click()
    expect(row).not_to_contain_text("administrator")
    choose(page, "carol", "Limits")
    dialog.get_by_label("Tokens a day").fill("100")
    dialog.get_by_role("button", name="Save").click()
    choose(page, "carol", "Limits")
    expect(dialog.get_by_label("Tokens a day")).to_have_value("100")
    expect(dialog.get_by_role("row").filter(has_text="Tokens a day")).to_be_visible()
    check_everywhere(page)
    dialog.get_by_role("button", name="Cancel").click()
    choose(page, "carol", "What is kept")
    dialog.get_by_label("Days after which").fill("30")
    dialog.get_by_label("Keep the texts").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("30 days, without texts")
    choose(page, "carol", "Disable")
    dialog.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled since")
    choose(page, "carol", "Delete")
    delete = dialog.get_by_role("button", name="Delete for good")
    dialog.get_by_label("Type carol").fill("caro")
    delete.click()
    expect(dialog).to_be_visible()
    dialog.get_by_label("Type carol").fill("carol")
    delete.click()
    expect(row).to_have_count(0)
    check_everywhere(page)


def test_a_user_may_ask_some_models_within_those_of_the_role(
    tabs: Tabs, new_site: NewSite, tmp_path: Path
) -> None:
    config = tmp_path / "llamakeep.toml"
    config.write_text(f'[roles.user]\nmodels = ["{MODEL}"]\n')
    page = managing(tabs, new_site(config=str(config)), "users")
    row = page.get_by_role("row").filter(has_text="alice")
    dialog = page.get_by_role("dialog")
    choose(page, "alice", "Models")
    expect(dialog).to_contain_text(f"Users may ask {MODEL}, as llamakeep.toml says")
    check_everywhere(page)
    dialog.get_by_label("openai:*").check()
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("asks only openai:*")
    choose(page, "alice", "Models")
    dialog.get_by_label("openai:*").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(row).not_to_contain_text("asks only")


def test_the_last_administrator_stays_and_the_problem_says_why(
    tabs: Tabs, site: Site
) -> None:
    page = managing(tabs, site, "users")
    choose(page, "root", "Disable")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Disable").click()
    expect(dialog.get_by_role("alert")).to_contain_text("last administrator")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More about root")).to_be_focused()


def test_a_service_account_gets_a_key_and_no_login(tabs: Tabs, site: Site) -> None:
    page = managing(tabs, site, "users")
    page.get_by_role("button", name="Create a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("robot")
    dialog.get_by_label("Role").select_option("Service account")
    expect(dialog.get_by_label("Password")).to_be_hidden()
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="API keys of robot")).to_be_visible()
    page.get_by_role("button", name="Create a key").click()
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_role("button", name="Create").click()
    secret = page.get_by_label("The API key “nightly”.", exact=True).inner_text()
    check_everywhere(page)
    me = site.call("GET", "/me/", headers={"Authorization": f"Bearer {secret}"})
    assert me["username"] == "robot"
    page.get_by_role("link", name="Users", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="robot")).to_contain_text(
        "service account"
    )
    page.get_by_role("button", name="More about robot").click()
    expect(page.get_by_role("menuitem", name="API keys")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Link for a new")).to_have_count(0)


def test_users_are_found_by_a_part_of_their_name_which_is_in_the_address(
    tabs: Tabs, site: Site
) -> None:
    page = managing(tabs, site, "users")
    page.get_by_role("searchbox", name="Find users").fill("LIC")
    expect(page.get_by_role("button", name="More about")).to_have_count(1)
    expect(page.get_by_role("button", name="More about alice")).to_be_visible()
    assert page.url.endswith("?q=LIC")
    page.reload()
    expect(page.get_by_role("button", name="More about")).to_have_count(1)
    page.get_by_role("searchbox", name="Find users").fill("x")
    expect(page.get_by_text("No user matches.")).to_be_visible()


def test_who_is_no_administrator_is_told_so(page: Page) -> None:
    for path in ("users", "invitations", "usage", "limits", "audit", "providers"):
        page.goto(f"/manage/{path}")
        expect(page.get_by_text("ask one of them")).to_be_visible()
    expect(page.get_by_role("link", name="Manage")).to_have_count(0)


def test_the_audit_log_is_narrowed_and_the_address_says_how(
    tabs: Tabs, site: Site
) -> None:
    key = site.call("POST", "/keys/", json={"name": "nightly"})
    page = managing(tabs, site, "audit")
    created = page.get_by_role("row").filter(has_text="API key created")
    expect(created).to_contain_text(key["id"])
    expect(created).to_contain_text("alice")
    check_everywhere(page)
    page.get_by_label("What").select_option("Logged in")
    expect(created).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="Logged in")).to_have_count(1)
    assert page.url.endswith("?kind=login.succeeded")
    page.get_by_label("What").select_option("Everything")
    created.get_by_role("link", name="alice").first.click()
    expect(page.get_by_role("row").filter(has_text="root")).to_have_count(0)
    expect(created).to_have_count(1)
    page.get_by_role("link", name="Of one account").click()
    expect(page.get_by_role("row").filter(has_text="root").first).to_be_visible()
    page.get_by_label("From (UTC)").fill("2099-01-01")
    page.keyboard.press("Tab")
    expect(page.get_by_text("No entry matches.")).to_be_visible()


def test_a_provider_that_fails_is_shown_with_its_circuit_breaker(
    tabs: Tabs, site: Site, model: Model
) -> None:
    page = managing(tabs, site, "providers")
    row = page.get_by_role("row").filter(has_text="parrot")
    expect(row).to_contain_text("closed")
    expect(row).to_contain_text("none in the last day")
    model.says([503])
    for _ in range(5):
        site.client.post("/prompt/", json={"prompt": "Fail"})
    page.get_by_role("button", name="Refresh").click()
    expect(row).to_contain_text("provider-")
    check_everywhere(page)


def test_what_all_users_do_is_summed_up(tabs: Tabs, site: Site) -> None:
    site.ask("A secret question")
    page = managing(tabs, site, "usage")
    expect(page.get_by_role("row").filter(has_text="alice")).to_contain_text("1")
    expect(page.get_by_text("secret")).to_have_count(0)
    check_everywhere(page)
