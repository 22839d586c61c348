"""Tabs of browsers, and what none of them may do."""

from collections.abc import Sequence
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    ViewportSize,
)

from tests.page.site import Site, eventually

DESK: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
Theme = Literal["light", "dark"]
LOOKS: Sequence[tuple[ViewportSize, Theme]] = (
    (PHONE, "light"),
    (PHONE, "dark"),
    (DESK, "dark"),
    (DESK, "light"),
)
PASSWORDS = {"alice": "secret1", "bob": "secret2", "root": "long enough"}
_AXE = {
    "resultTypes": ["violations"],
    "runOnly": [
        "wcag2a",
        "wcag2aa",
        "wcag21a",
        "wcag21aa",
        "wcag22aa",
        "best-practice",
    ],
}
EXPECTED = (
    "Failed to load resource",  # tests that let a request fail know it
    "The Cross-Origin-Opener-Policy header has been ignored",  # on plain HTTP
)
"""What browsers write by themselves."""


class Tabs:
    """Opens tabs, and looks at what they complain about."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        """Errors and warnings of the console, and what no script has caught."""

    def device(
        self, site: Site | None, user: str | None = "alice", **options: Any
    ) -> BrowserContext:
        """Return a browser of its own, where a user has logged in."""
        options = {"viewport": DESK} | options
        if site is not None:
            options = {"base_url": site.origin} | options
        context = self._browser.new_context(**options)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", lambda line: self._said(line.type, line.text))
        self._contexts.append(context)
        if site is not None and user is not None:
            log_in(context, site, user)
        return context

    def blank(self, **options: Any) -> Page:
        """Return an empty tab of a browser that knows no site."""
        return self.device(None, **options).new_page()

    def open(
        self, site: Site, path: str = "/", *, has_clock: bool = False, **options: Any
    ) -> Page:
        """
        Return a tab of a browser of its own.

        With `has_clock`, the test can turn the tab's clock forward.
        """
        page = self.device(site, **options).new_page()
        if has_clock:
            page.clock.install()
        page.goto(site.origin + path)
        return page

    def _said(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not text.startswith(EXPECTED):
            self.complaints.append(text)

    def close(self) -> None:
        """Close all tabs, and fail if one complained."""
        for context in self._contexts:
            context.close()
        assert not self.complaints, self.complaints


def log_in(context: BrowserContext, site: Site, user: str) -> None:
    """Log a user in, as the form does."""
    response = context.request.post(
        f"{site.origin}/login/cookie/",
        data={"username": user, "password": PASSWORDS[user]},
        headers={"Origin": site.origin},
    )
    assert response.status == 204, response.text()


def send(page: Page, text: str) -> None:
    """Type a prompt, and send it."""
    page.get_by_role("textbox", name="Prompt").fill(text)
    page.keyboard.press("Control+Enter")


def turn(page: Page, number: int = -1) -> Locator:
    """Return a turn by its number, the last one if nothing is said."""
    turns = page.locator("article.turn:not(.unsent)")
    return turns.last if number < 0 else turns.nth(number)


def log(page: Page) -> Locator:
    """Return what the turns of a conversation scroll in."""
    return page.locator(".log")


class Held:
    """Requests that get no answer until the test lets them."""

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url
        self._routes: list[Route] = []
        page.route(url, self._hold)

    def _hold(self, route: Route) -> None:
        self._routes.append(route)

    def wait(self) -> None:
        """Wait for the first of them."""
        eventually(self._has_come)

    def _has_come(self) -> bool:
        self._page.wait_for_timeout(10)
        return bool(self._routes)

    def release(self) -> None:
        """Let them go, and all that come after them."""
        for route in self._routes:
            route.continue_()
        self._page.unroute(self._url)


def requests_of(place: Page | BrowserContext) -> list[str]:
    """Return a list that gets the address of each request from here on."""
    asked: list[str] = []
    place.on("request", lambda request: asked.append(request.url))
    return asked


def top_of(place: Locator) -> float:
    """Return how far below the window's upper edge something begins, in px."""
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def check_look(page: Page, size: ViewportSize, theme: Theme) -> None:
    """Fail for what axe reports, and for scrolling sideways."""
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    found = Axe().run(page, options=_AXE)
    assert found.violations_count == 0, (page.url, found.generate_report())
    check_width(page)


def check_width(page: Page) -> None:
    """Fail if the page, or the view in it, scrolls sideways."""
    for place in ("html", "main", ".log"):
        for node in page.locator(place).all():
            widths: Sequence[int] = node.evaluate("e => [e.scrollWidth, e.clientWidth]")
            assert widths[0] <= widths[1], (place, widths)


def check_everywhere(page: Page) -> None:
    """Check a view in both themes, on a phone and on a desk."""
    for look in LOOKS:
        check_look(page, *look)
