"""Each view in each state, in both themes, on a phone and on a desk."""

from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Route, expect

from tests.page.model import Model
from tests.page.site import Site
from tests.page.tabs import Held, Tabs, check_everywhere
from tests.page.views import Furnished, View, furnish

LOGIN_OVER = {
    "type": "urn:llamakeep:problem:unauthenticated",
    "title": "Who are you?",
    "detail": "Log in.",
}


@pytest.fixture
def furnished(tabs: Tabs, site: Site, model: Model) -> Furnished:
    return furnish(tabs, site, model)


def test_each_view_looks_right(furnished: Furnished) -> None:
    page, views = furnished
    for view in views:
        view.open(page)
        check_everywhere(page)


def test_each_view_looks_right_while_it_loads(furnished: Furnished) -> None:
    page, views = furnished
    for view in asking(views):
        held = Held(page, view.api)
        page.goto(f"/{view.path}")
        expect(page.locator(".outline")).to_be_visible()
        check_everywhere(page)
        held.release()
        view.is_shown(page)


def test_each_view_that_gets_no_answer_says_so_and_tries_again(
    furnished: Furnished,
) -> None:
    page, views = furnished
    for view in asking(views):
        page.route(view.api, lambda route: route.abort())
        page.goto(f"/{view.path}")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("cannot be reached")
        check_everywhere(page)
        page.unroute(view.api)
        page.get_by_role("button", name="Try again").first.click()
        expect(alert).to_have_count(0)
        view.is_shown(page)


def test_each_view_stays_as_it_is_without_a_network(furnished: Furnished) -> None:
    page, views = furnished
    for view in views:
        view.open(page)
        page.context.set_offline(True)
        expect(page.locator(".banner")).to_contain_text("You are offline.")
        check_everywhere(page)
        page.context.set_offline(False)
        expect(page.locator(".banner")).to_be_hidden()


def test_each_view_waits_behind_the_question_for_a_password(
    furnished: Furnished,
) -> None:
    page, views = furnished
    for view in asking(views):
        page.route(view.api, answer_over)
        page.goto(f"/{view.path}")
        dialog = page.get_by_role("dialog", name="Log in again")
        expect(dialog).to_be_visible()
        check_everywhere(page)
        page.unroute(view.api)


def test_what_was_shown_stays_when_it_cannot_be_asked_for_again(
    furnished: Furnished,
) -> None:
    page, views = furnished
    views[-1].open(page)
    page.route("**/admin/providers/", lambda route: route.abort())
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="parrot")).to_be_visible()
    check_everywhere(page)


def answer_over(route: Route) -> None:
    route.fulfill(status=401, json=LOGIN_OVER)


def asking(views: Sequence[View]) -> Iterator[View]:
    """Return the views that show nothing before they have got an answer."""
    return (view for view in views if view.path and view.api)
