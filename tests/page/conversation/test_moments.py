"""What is done at a bad moment: before an answer has come, or twice."""

import json

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.model import Model
from tests.page.site import Site, eventually
from tests.page.tabs import PASSWORDS, Held, Tabs, send, turn


def prompt_field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Prompt")


def is_accepted(page: Page) -> bool:
    """Return whether the page knows that the server has the prompt."""
    return "outbox" not in json.dumps(page.evaluate("() => ({ ...localStorage })"))


def has_its_address(page: Page) -> bool:
    """Return whether the conversation has begun; a page being left runs no script."""
    page.wait_for_timeout(10)
    return "/c/" in page.url


def test_a_prompt_that_is_accepted_while_the_page_is_reloaded_is_shown(
    page: Page, site: Site
) -> None:
    sent = Held(page, "**/prompt/")
    send(page, "Only once")
    sent.wait()
    shell = Held(page, f"{site.origin}/")
    page.evaluate("() => { location.reload(); }")
    shell.wait()
    sent.release()
    eventually(lambda: has_its_address(page))
    shell.release()
    expect(turn(page)).to_contain_text("Hello, world.")
    assert page.url.endswith(site.history()[0]["conversation_id"])
    page.get_by_role("link", name="New conversation").click()
    expect(page.locator("article.turn")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    assert len(site.history()) == 1


def test_what_is_typed_while_a_conversation_begins_stays_in_the_field(
    page: Page,
) -> None:
    sent = Held(page, "**/prompt/")
    send(page, "The first")
    sent.wait()
    prompt_field(page).press_sequentially("And the sec")
    sent.release()
    expect(turn(page)).to_contain_text("Hello, world.")
    prompt_field(page).press_sequentially("ond")
    expect(prompt_field(page)).to_have_value("And the second")
    page.reload()
    expect(prompt_field(page)).to_have_value("And the second")
    page.get_by_role("link", name="New conversation").click()
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    expect(prompt_field(page)).to_have_value("")


def test_a_prompt_that_is_accepted_while_another_view_opens_leaves_its_address(
    page: Page, site: Site
) -> None:
    other = site.ask("Another one")
    link = page.get_by_role("link", name="Another one")
    expect(link).to_be_visible()
    sent = Held(page, "**/prompt/")
    send(page, "Only once")
    sent.wait()
    asked = Held(page, "**/conversations/conv_*")
    link.click()
    asked.wait()
    sent.release()
    eventually(lambda: is_accepted(page))
    asked.release()
    expect(turn(page)).to_contain_text("Another one")
    assert page.url.endswith(other["conversation_id"])


def test_what_waits_goes_out_when_the_answer_has_ended_while_the_page_was_closed(
    page: Page, site: Site, model: Model
) -> None:
    gate = model.gate()
    model.says(["One", gate, "."], ["Two."], ["Three."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One")
    send(page, "Second")
    send(page, "Third")
    waiting = page.locator("article.unsent")
    expect(waiting).to_have_count(2)
    address = page.url
    page.goto("about:blank")
    gate.set()
    eventually(lambda: site.history()[0]["status"] == "succeeded")
    page.goto(address)
    expect(turn(page)).to_contain_text("Three.")
    expect(waiting).to_have_count(0)
    prompts = [run["prompt"] for run in site.history()]
    assert prompts == ["Third", "Second", "First"]


def test_a_double_click_on_answer_again_is_one_run(
    page: Page, site: Site, model: Model
) -> None:
    model.says(["One."], ["Two."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One.")
    sent = Held(page, "**/prompt/")
    turn(page).get_by_role("button", name="Answer again").dblclick()
    sent.wait()
    sent.release()
    expect(turn(page)).to_contain_text("Two.")
    assert len(site.history()) == 2
    model.says(["Three."])
    turn(page).get_by_role("button", name="Answer again").click()
    expect(turn(page)).to_contain_text("Three.")
    assert len(site.history()) == 3


def test_who_cannot_be_logged_out_without_a_network_is_told(page: Page) -> None:
    prompt_field(page).fill("Kept")
    page.context.set_offline(True)
    page.get_by_role("button", name="alice").click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.locator(".notice")).to_contain_text("You are offline.")
    expect(prompt_field(page)).to_have_value("Kept")


def test_an_address_that_is_badly_written_is_said_to_lead_nowhere(
    tabs: Tabs, site: Site
) -> None:
    for path in ("/c/%E0%A4%A", "/r/50%#%"):
        page = tabs.open(site, path)
        expect(page.get_by_role("alert")).to_contain_text("There is no such")


def test_a_server_that_says_nothing_for_long_cannot_be_reached(
    tabs: Tabs, site: Site
) -> None:
    page = tabs.open(site, has_clock=True)
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    asked = Held(page, "**/me/limits")
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Limits").first.click()
    asked.wait()
    page.clock.run_for(31_000)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server cannot be reached.")
    asked.release()
    alert.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    expect(alert).to_have_count(0)


def test_an_answer_is_shown_as_it_is_when_what_formats_it_could_not_be_loaded(
    tabs: Tabs, site: Site, model: Model
) -> None:
    model.says(["**One**"], ["**Two**"])
    page = tabs.device(site).new_page()
    page.route("**/text/growing.js", lambda route: route.abort())
    page.goto("/")
    send(page, "First")
    expect(turn(page).locator(".text")).to_have_text("**One**")
    page.unroute("**/text/growing.js")
    send(page, "Second")
    expect(turn(page).locator("strong")).to_have_text("Two")


@pytest.mark.parametrize("button", ["Edit", "Answer again"])
def test_a_prompt_whose_picture_cannot_be_read_says_so(
    page: Page, site: Site, button: str
) -> None:
    pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg"
        "YGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
    )
    run = site.ask("What is this?", images=[pixel])
    page.goto(f"/c/{run['conversation_id']}")
    expect(turn(page)).to_contain_text("Hello, world.")
    page.route("**/images/*", lambda route: route.abort())
    turn(page).get_by_role("button", name=button).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server cannot be reached.")
    page.unroute("**/images/*")
    alert.get_by_role("button", name="Try again").click()
    if button == "Edit":
        expect(page.get_by_role("img", name="Picture 1")).to_be_visible()
    else:
        expect(page.get_by_label("Version 2 of 2")).to_be_visible()


def test_an_answer_that_comes_late_does_not_take_the_place_of_a_later_one(
    tabs: Tabs, site: Site
) -> None:
    site.add_admin("root", PASSWORDS["root"])
    page = tabs.open(site, "/manage/users", user="root")
    rows = page.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(4)
    late = Held(page, "**/admin/users/?q=o&*")
    page.get_by_role("searchbox", name="Find users").fill("o")
    late.wait()
    page.get_by_role("searchbox", name="Find users").fill("oo")
    expect(rows).to_have_count(2)
    with page.expect_response("**/admin/users/?q=o&*"):
        late.release()
    page.wait_for_timeout(100)
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("root")


def test_what_is_printed_is_dark_on_light(page: Page) -> None:
    send(page, "To be printed")
    expect(turn(page)).to_contain_text("Hello, world.")
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("body")).to_have_css("color", "rgb(29, 27, 24)")
    expect(page.locator("nav").first).to_be_hidden()
    expect(turn(page).locator(".text")).to_be_visible()
