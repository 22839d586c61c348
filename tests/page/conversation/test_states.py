"""What views show while they load, and when something is wrong."""

from playwright.sync_api import Page, Route, expect

from tests.page.model import RICH, Model
from tests.page.site import Site
from tests.page.tabs import Held, Tabs, check_everywhere, send, turn


def test_what_was_there_stays_until_the_next_view_is_ready(
    page: Page, site: Site
) -> None:
    site.ask("What is a llama?")
    held = Held(page, "**/history/?conversation_id=*")
    page.get_by_role("link", name="What is a llama?").click()
    expect(page.locator(".outline")).to_be_visible()
    held.release()
    expect(turn(page)).to_contain_text("Hello, world.")
    expect(page.locator(".outline")).to_have_count(0)


def test_a_conversation_that_is_not_there_is_said_to_be(tabs: Tabs, site: Site) -> None:
    page = tabs.open(site, "/c/conv_00000000000000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("There is no such conversation")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    check_everywhere(page)


def test_files_that_are_gone_are_said_to_be_of_a_new_version(page: Page) -> None:
    page.route("**/views/keys.js", lambda route: route.fulfill(status=404, json={}))
    page.get_by_role("link", name="API keys").click()
    expect(page.get_by_role("alert")).to_contain_text("A new version is here.")
    expect(page.get_by_role("button", name="Reload")).to_be_visible()
    check_everywhere(page)


def test_a_limit_that_is_reached_offers_to_ask_for_less(
    page: Page, model: Model
) -> None:
    refusal = {
        "type": "urn:llamakeep:problem:quota-exceeded",
        "title": "This prompt may take more than a limit leaves.",
        "detail": "Nothing was stored.",
        "limit": {
            "name": "tokens_per_day",
            "whose": "user",
            "limit": 1000,
            "left": 240,
            "resets_at": "2100-01-01T00:00:00Z",
        },
    }

    def refuse(route: Route) -> None:
        if (route.request.post_data_json or {}).get("max_tokens") == 120:
            route.continue_()
        else:
            route.fulfill(status=429, json=refusal)

    page.route("**/prompt/", refuse)
    send(page, "A long story")
    less = page.get_by_role("button", name="Ask for at most 120 tokens")
    expect(less).to_be_visible()
    check_everywhere(page)
    less.click()
    page.get_by_role("textbox", name="Prompt").press("Enter")
    expect(turn(page)).to_contain_text("Hello, world.")
    assert model.asked[-1]["max_tokens"] == 120


def test_an_answer_looks_right_while_it_is_written_and_when_its_server_is_gone(
    page: Page, site: Site, model: Model
) -> None:
    model.says([RICH, model.gate()])
    send(page, "Show me all")
    expect(turn(page).locator("tbody")).to_be_visible()
    check_everywhere(page)
    site.kill()
    expect(page.locator(".banner")).to_contain_text("Reconnecting")
    check_everywhere(page)
    site.start()
    expect(turn(page)).to_contain_text("Interrupted.")
    check_everywhere(page)


def test_a_failed_answer_and_a_menu_are_accessible(page: Page, model: Model) -> None:
    model.says([400])
    send(page, "Fail")
    expect(turn(page)).to_contain_text("Failed.")
    check_everywhere(page)
    page.get_by_role("button", name="More about this turn").click()
    expect(page.get_by_role("menuitem", name="Copy the prompt")).to_be_visible()
    check_everywhere(page)


def test_who_logs_out_leaves_nothing_and_other_tabs_end(page: Page, site: Site) -> None:
    send(page, "Mine alone")
    expect(turn(page)).to_contain_text("Hello, world.")
    other = page.context.new_page()
    other.goto(page.url)
    expect(turn(other)).to_contain_text("Hello, world.")
    page.get_by_role("textbox", name="Prompt").fill("A secret draft")
    page.get_by_role("button", name="alice").click()
    page.get_by_role("menuitem", name="Log out").click()
    for tab in (page, other):
        expect(tab.get_by_label("Password")).to_be_visible()
        expect(tab.get_by_text("Mine alone")).to_have_count(0)
    assert "draft" not in str(page.evaluate("() => ({ ...localStorage })"))
    page.get_by_role("button", name="Log in as bob").click()
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    expect(page.get_by_text("Mine alone")).to_have_count(0)
    assert page.url.startswith(site.origin)
