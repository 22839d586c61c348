"""One prompt for several models."""

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.model import NAME, Model
from tests.page.site import NewSite, Site
from tests.page.tabs import DESK, PHONE, Tabs, check_everywhere, send, turn


@pytest.fixture
def limits() -> dict[str, int]:
    """What each user may use."""
    return {}


@pytest.fixture
def two_models(new_site: NewSite, limits: dict[str, int]) -> Site:
    """A server that knows two models."""
    return new_site(openai_models=[NAME, "owl"], user_limits=limits)


def column(page: Page, number: int) -> Locator:
    return page.locator(".column").nth(number)


def test_compared_answers_are_branches_of_one_conversation_and_use_the_whole_width(
    tabs: Tabs, two_models: Site, model: Model
) -> None:
    gate = model.gate()
    model.says(["One", gate, "."], ["Two."], ["Three."])
    page = tabs.open(two_models, "/compare")
    expect(page.get_by_role("button", name="Model 2: openai:owl")).to_be_visible()
    send(page, "What hums?")
    expect(column(page, 0)).to_contain_text("One")
    expect(column(page, 1)).to_contain_text("Two.")
    expect(page).to_have_url(re.compile(r"\?run=run_.*&run=run_"))
    page.reload()
    expect(column(page, 0)).to_contain_text("One")
    gate.set()
    expect(column(page, 0)).to_contain_text("One.")
    expect(column(page, 1)).to_contain_text("cost unknown")
    page.set_viewport_size({"width": 1800, "height": 900})
    width = page.locator(".columns").bounding_box()
    assert width is not None
    assert width["width"] > 1400
    check_everywhere(page)
    page.set_viewport_size(PHONE)
    expect(column(page, 1)).to_be_hidden()
    page.get_by_role("button", name="owl", exact=True).click()
    expect(column(page, 1)).to_be_visible()
    page.set_viewport_size(DESK)
    one, two = two_models.history()
    assert one["conversation_id"] == two["conversation_id"]
    assert all(len(messages) == 1 for messages in model.prompts())
    column(page, 0).get_by_role("link", name="Continue with this one").click()
    expect(turn(page)).to_contain_text("One.")
    send(page, "And then?")
    expect(turn(page)).to_contain_text("Three.")
    assert [text for _, text in model.prompts()[-1]] == [
        *("What hums?", "One.", "And then?"),
    ]


def test_a_column_that_fails_leaves_the_others_alone(
    tabs: Tabs, two_models: Site, model: Model
) -> None:
    model.says(["Zero."], [400], ["Two."])
    run = two_models.ask("Who are you?")
    page = tabs.open(two_models, f"/c/{run['conversation_id']}")
    page.get_by_role("button", name="More about this conversation").click()
    page.get_by_role("menuitem", name="Compare models").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    send(page, "What hums?")
    # Both are asked at once.
    expect(page.locator(".column .note.bad")).to_contain_text("Failed.")
    expect(page.locator(".column").filter(has_text="Two.")).to_have_count(1)
    assert {each["previous_run_id"] for each in two_models.history()[:2]} == {run["id"]}


def test_a_reload_while_models_are_asked_asks_each_once(
    tabs: Tabs, two_models: Site, model: Model
) -> None:
    page = tabs.open(two_models, "/compare")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/prompt/", hold)
    send(page, "Only once")
    expect(column(page, 0)).to_contain_text("Waiting")
    page.unroute("**/prompt/")
    page.reload()
    for number in range(2):
        expect(column(page, number)).to_contain_text("Hello, world.")
    assert len(two_models.history()) == 2
    assert len(model.asked) == 2


@pytest.mark.parametrize("limits", [{"concurrent_runs": 1}])
def test_where_one_answer_at_a_time_is_allowed_the_other_one_waits(
    tabs: Tabs, two_models: Site, model: Model
) -> None:
    gate = model.gate()
    model.says(["One", gate, "."], ["Two."])
    page = tabs.open(two_models, "/compare")
    send(page, "What hums?")
    expect(column(page, 0)).to_contain_text("One")
    expect(column(page, 1)).to_contain_text("Waiting")
    gate.set()
    expect(column(page, 1)).to_contain_text("Two.")
