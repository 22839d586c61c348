"""What views of settings and administration show when the server does not answer."""

from playwright.sync_api import expect

from tests.page.site import Site
from tests.page.tabs import PASSWORDS, Tabs, check_everywhere

VIEWS = {
    "settings": "me/logins/",
    "settings/keys": "keys/",
    "settings/limits": "me/limits",
    "manage/users": "admin/users/",
    "manage/usage": "admin/stats",
    "manage/limits": "admin/limits",
    "manage/audit": "admin/audit",
    "manage/providers": "admin/providers/",
}


def test_a_view_that_gets_no_answer_says_so_and_tries_again(
    tabs: Tabs, site: Site
) -> None:
    site.add_admin("root", PASSWORDS["root"])
    page = tabs.open(site, user="root")
    for path, api in VIEWS.items():
        pattern = f"{site.origin}/{api}*"
        page.route(pattern, lambda route: route.abort())
        page.goto(f"/{path}")
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        page.unroute(pattern)
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_role("navigation").last).to_be_visible()
    page.route("**/admin/providers/", lambda route: route.abort())
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("alert")).to_be_visible()
    # What was shown stays.
    expect(page.get_by_role("row").filter(has_text="parrot")).to_be_visible()
    check_everywhere(page)
