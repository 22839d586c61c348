"""What browsers do with the login cookie, and what pages of others get by it."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.site import NewSite, Site
from tests.page.tabs import Tabs, log_in

SEND = """
<form method="post" enctype="text/plain" action="%s/prompt/">
  <input name='{"prompt": "sent by another page", "x": "' value='"}'>
  <button>Send</button>
</form>
"""
ANOTHER_PORT = "http://127.0.0.1:9"


def new_conversation(page: Page) -> None:
    """Fail unless a user is logged in."""
    heading = page.get_by_role("heading", name="New conversation")
    expect(heading).to_be_visible()


def elsewhere(page: Page, address: str, content: str) -> None:
    """Open a page of another site."""
    page.route(
        address, lambda route: route.fulfill(content_type="text/html", body=content)
    )
    page.goto(address)


def test_no_script_sees_the_cookie(page: Page) -> None:
    new_conversation(page)

    [cookie] = page.context.cookies()
    seen = page.evaluate("() => document.cookie + JSON.stringify(localStorage)")

    assert cookie["value"] not in seen
    assert "llamakeep-" not in page.evaluate("() => document.cookie")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert cookie["domain"] == "127.0.0.1"


@pytest.fixture
def other_site(new_site: NewSite) -> Site:
    """Another server on this host, which lets pages on a third port call it."""
    return new_site(cors_origins=(ANOTHER_PORT,))


def test_two_servers_on_one_host_do_not_log_each_other_out(
    tabs: Tabs, site: Site, other_site: Site
) -> None:
    device = tabs.device(site)
    log_in(device, other_site, "bob")

    for each in (site, other_site, site):
        page = device.new_page()
        page.goto(each.origin)
        new_conversation(page)

    assert len(device.cookies()) == 2


def test_a_form_on_another_port_of_the_host_cannot_use_the_cookie(
    tabs: Tabs, other_site: Site
) -> None:
    """`SameSite=Strict` lets browsers send the cookie, as ports are no sites."""
    page = tabs.open(other_site)
    new_conversation(page)

    elsewhere(page, f"{ANOTHER_PORT}/", SEND % other_site.origin)
    page.get_by_role("button").click()

    expect(page.get_by_text("urn:llamakeep:problem:origin-refused")).to_be_visible()
    assert other_site.history() == []


def test_a_link_from_another_site_opens_logged_in(page: Page, site: Site) -> None:
    new_conversation(page)

    elsewhere(page, "http://other.example/", f'<a href="{site.origin}/">llamas</a>')
    page.get_by_role("link").click()

    new_conversation(page)
