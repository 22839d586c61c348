"""How the page looks, and that it is accessible."""

from playwright.sync_api import Page, expect

from tests.page.site import Site
from tests.page.tabs import Tabs, check_everywhere


def test_a_new_conversation_is_accessible(page: Page) -> None:
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    check_everywhere(page)


def test_a_conversation_is_accessible(tabs: Tabs, site: Site) -> None:
    run = site.ask("What is a llama?")
    page = tabs.open(site, f"/c/{run['conversation_id']}")
    expect(page.get_by_text("Hello, world.")).to_be_visible()
    check_everywhere(page)
