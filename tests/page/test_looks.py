"""How the page looks, and who can use it."""

from playwright.sync_api import Page, expect

from tests.page.site import Site
from tests.page.tabs import Tabs, check_everywhere

LONG = "\n\n".join(f"A paragraph, number {number}." for number in range(200))


def test_a_new_conversation_can_be_used_by_everybody(page: Page) -> None:
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    check_everywhere(page)


def test_a_conversation_can_be_used_by_everybody(tabs: Tabs, site: Site) -> None:
    run = site.ask("What is a llama?")
    page = tabs.open(site, f"/c/{run['conversation_id']}")
    expect(page.get_by_text("Hello, world.")).to_be_visible()
    check_everywhere(page)
