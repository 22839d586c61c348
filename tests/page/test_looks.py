"""How the page looks, and that it is accessible."""

from playwright.sync_api import Page, Request, ViewportSize, expect

from tests.page.model import Model
from tests.page.site import Site
from tests.page.tabs import (
    DESK,
    LOOKS,
    Tabs,
    check_look,
    check_width,
    requests_of,
    send,
    turn,
)
from tests.page.views import furnish

ZOOMED: ViewportSize = {"width": 320, "height": 256}
"""A window of 1280 by 1024 px at 400 %."""


def test_each_view_is_accessible(tabs: Tabs, site: Site, model: Model) -> None:
    page, views = furnish(tabs, site, model)
    # All looks of each view, and of its states, are `test_states.py`.
    for number, view in enumerate(views):
        view.open(page)
        check_look(page, *LOOKS[number % len(LOOKS)])


def test_nothing_is_cut_off_with_text_of_twice_the_size_or_at_400_percent(
    tabs: Tabs, site: Site, model: Model
) -> None:
    page, views = furnish(tabs, site, model)
    for view in views:
        view.open(page)
        page.set_viewport_size(ZOOMED)
        check_width(page)
        page.set_viewport_size(DESK)
        page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
        check_width(page)
    views[0].open(page)
    page.set_viewport_size(ZOOMED)
    send(page, "Even here")
    expect(turn(page)).to_contain_text("A heading")
    log = page.locator(".log").bounding_box()
    assert log is not None
    assert log["height"] > ZOOMED["height"] / 2
    turn(page).get_by_role("button", name="Copy", exact=True).last.click()


def test_a_first_view_takes_few_requests_and_bytes(tabs: Tabs, site: Site) -> None:
    page = tabs.device(site).new_page()
    asked = requests_of(page)
    done: list[Request] = []

    def finished(request: Request) -> None:
        done.append(request)

    page.on("requestfinished", finished)
    page.goto("/")
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    page.wait_for_load_state("load")
    # What shows answers comes right after, and may be among them.
    assert len(asked) <= 24, asked
    assert sum(each.sizes()["responseBodySize"] for each in done) <= 70_000


def test_in_forced_colours_what_is_chosen_and_what_goes_on_can_be_seen(
    tabs: Tabs, site: Site, model: Model
) -> None:
    model.says(["Slowly", model.gate()])
    page = tabs.open(site, forced_colors="active")
    send(page, "Hello")
    dot = page.locator("nav .dot")
    expect(dot).to_be_visible()
    paper = background(page, "body")
    assert background(page, "nav .dot") != paper
    current = page.locator("nav [aria-current]").first
    expect(current).to_have_css("outline-style", "solid")


def background(page: Page, selector: str) -> str:
    """Return the colour of an element that has one of its own."""
    colour: str = page.locator(selector).first.evaluate(
        "e => getComputedStyle(e).backgroundColor"
    )
    return colour
