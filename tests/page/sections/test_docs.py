"""The page at /docs, which shows the API without a login."""

from playwright.sync_api import expect

from tests.page.site import Site
from tests.page.tabs import Tabs, check_everywhere, requests_of


def test_the_documentation_shows_the_api_and_asks_no_other_host(
    tabs: Tabs, site: Site
) -> None:
    device = tabs.device(site, user=None)
    page = device.new_page()
    asked = requests_of(page)

    page.goto(f"{site.origin}/docs")
    page.get_by_role("searchbox").fill("post /prompt store")
    page.get_by_text("POST /prompt/", exact=False).first.click()

    prompt = page.locator("details[id='post-/prompt/']")
    expect(prompt.get_by_text("an API key with the scope prompt")).to_be_visible()
    expect(prompt.get_by_text("Idempotency-Key", exact=False).first).to_be_visible()
    expect(prompt.locator("pre")).to_contain_text(
        f"curl -X POST '{site.origin}/prompt/'"
    )
    assert page.url == f"{site.origin}/docs#post-/prompt/"
    assert asked
    assert all(url.startswith(site.origin) for url in asked)


def test_an_address_of_the_documentation_unfolds_what_it_names(
    tabs: Tabs, site: Site
) -> None:
    page = tabs.open(site, "/docs#patch-/me/", user=None)

    named = page.locator("details[id='patch-/me/']")
    expect(named.get_by_text("retention_days").first).to_be_visible()


def test_the_documentation_is_accessible(tabs: Tabs, site: Site) -> None:
    page = tabs.open(site, "/docs#post-/prompt/", user=None)
    prompt = page.locator("details[id='post-/prompt/']")
    prompt.locator("dl.fields > dd > details > summary").first.click()
    expect(prompt.locator("dl dl").first).to_be_visible()

    check_everywhere(page)
