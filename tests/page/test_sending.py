"""Prompts on their way: nothing typed is lost, and nothing is sent twice."""

import json

from playwright.sync_api import Locator, Page, Route, expect

from tests.page.model import Model
from tests.page.site import Site, eventually
from tests.page.tabs import send, turn

PASTE = """(field, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    const how = { clipboardData, bubbles: true, cancelable: true };
    field.dispatchEvent(new ClipboardEvent("paste", how));
}"""


def prompt_field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Prompt")


def test_what_is_sent_without_a_network_goes_out_once_when_it_is_back(
    page: Page, site: Site
) -> None:
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    send(page, "Sent on a train")
    expect(page.locator("article.unsent")).to_contain_text("Sent on a train")
    expect(page.locator("article.unsent")).to_contain_text("Not sent yet")
    assert site.history() == []
    page.context.set_offline(False)
    expect(turn(page)).to_contain_text("Hello, world.")
    expect(page.locator("article.unsent")).to_have_count(0)
    assert [run["prompt"] for run in site.history()] == ["Sent on a train"]


def test_a_prompt_whose_answer_was_lost_is_one_run(page: Page, site: Site) -> None:
    lost: list[object] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch())
        route.abort()

    page.route("**/prompt/", lose)
    send(page, "Only once")
    expect(turn(page)).to_contain_text("Hello, world.")
    assert len(site.history()) == 1


def test_a_reload_before_the_server_has_answered_sends_the_prompt_once(
    page: Page, site: Site
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/prompt/", hold)
    send(page, "Only once")
    eventually(lambda: pause(page) or held)
    held[0].fetch()
    page.unroute("**/prompt/")
    page.reload()
    expect(turn(page)).to_contain_text("Hello, world.")
    assert len(site.history()) == 1


def test_a_double_click_on_send_is_one_run(page: Page, site: Site) -> None:
    prompt_field(page).fill("Only once")
    page.get_by_role("button", name="Send").dblclick()
    expect(turn(page)).to_contain_text("Hello, world.")
    expect(page.locator("article.turn")).to_have_count(1)
    assert len(site.history()) == 1


def test_the_same_draft_sent_in_two_tabs_is_one_run(page: Page, site: Site) -> None:
    # Without these events, the second tab still shows what the first one has sent.
    page.context.add_init_script(
        "addEventListener('storage', e => e.stopImmediatePropagation(), true)"
    )
    page.reload()
    prompt_field(page).fill("Only once")
    eventually(lambda: "Only once" in json.dumps(kept(page)))
    other = page.context.new_page()
    other.goto(site.origin)
    expect(prompt_field(other)).to_have_value("Only once")
    for tab in (page, other):
        tab.get_by_role("button", name="Send").click()
    for tab in (page, other):
        expect(turn(tab)).to_contain_text("Hello, world.")
        expect(tab.locator("article.turn")).to_have_count(1)
    assert len(site.history()) == 1


def pause(page: Page) -> bool:
    """Let the browser tell what it does."""
    page.wait_for_timeout(10)
    return False


def kept(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate("() => ({ ...localStorage })")
    return found


def test_kept_stands_at_a_prompt_before_the_model_has_said_a_word(
    page: Page, site: Site, model: Model
) -> None:
    model.says([model.gate()])
    send(page, "Is it on disk?")
    expect(turn(page).locator(".meta")).to_contain_text("Kept")
    [run] = site.history()
    assert run["response"] == ""
    assert run["prompt"] == "Is it on disk?"


def test_a_login_that_ends_while_one_types_costs_nothing(
    page: Page, site: Site
) -> None:
    send(page, "The first")
    expect(turn(page)).to_contain_text("Hello, world.")
    prompt_field(page).fill("Typed for an hour")
    page.context.clear_cookies()
    page.keyboard.press("Control+Enter")
    dialog = page.get_by_role("dialog", name="Log in again")
    expect(dialog).to_be_visible()
    expect(turn(page, 0)).to_contain_text("Hello, world.")
    dialog.get_by_label("Password").fill("secret1")
    dialog.get_by_role("button", name="Log in", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(turn(page, 1)).to_contain_text("Hello, world.")
    assert [run["prompt"] for run in site.history()] == [
        "Typed for an hour",
        "The first",
    ]


def test_drafts_outlive_reloads_other_conversations_and_running_answers(
    page: Page, model: Model
) -> None:
    gate = model.gate()
    model.says(["Slowly", gate, "."])
    send(page, "Begin")
    expect(turn(page)).to_contain_text("Slowly")
    prompt_field(page).fill("Half a thought")
    page.get_by_role("link", name="New conversation").click()
    expect(prompt_field(page)).to_have_value("")
    prompt_field(page).fill("Another thought")
    page.go_back()
    expect(prompt_field(page)).to_have_value("Half a thought")
    gate.set()
    expect(turn(page)).to_contain_text("Slowly.")
    page.reload()
    expect(prompt_field(page)).to_have_value("Half a thought")
    page.get_by_role("link", name="New conversation").click()
    expect(prompt_field(page)).to_have_value("Another thought")


def test_an_enter_that_confirms_a_composition_sends_nothing(
    page: Page, site: Site
) -> None:
    prompt_field(page).fill("かな")
    for keys in ({"isComposing": True}, {"keyCode": 229}):
        prompt_field(page).dispatch_event("keydown", {"key": "Enter", **keys})
    expect(prompt_field(page)).to_have_value("かな")
    assert site.history() == []
    page.keyboard.press("Enter")
    expect(turn(page)).to_contain_text("Hello, world.")


def test_a_providers_failure_is_shown_at_its_prompt_with_what_to_do(
    page: Page, site: Site, model: Model
) -> None:
    model.says([400], ["Better now."])
    send(page, "Are you there?")
    note = turn(page).locator(".note.bad")
    expect(note).to_contain_text("Failed.")
    detail = site.history()[0]["error"]["detail"]
    expect(note).to_contain_text(detail)
    note.get_by_role("button", name="Answer again").click()
    expect(turn(page)).to_contain_text("Better now.")
    expect(page.get_by_label("Version 2 of 2")).to_be_visible()


def test_one_types_and_sends_on_while_an_answer_is_written(
    page: Page, model: Model
) -> None:
    gate = model.gate()
    model.says(["One", gate, "."], ["Two."], ["Three."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One")
    send(page, "Second")
    send(page, "Third")
    waiting = page.locator("article.unsent")
    expect(waiting).to_have_count(2)
    expect(waiting.first).to_contain_text("Waits")
    page.reload()
    expect(waiting).to_have_count(2)
    gate.set()
    expect(turn(page)).to_contain_text("Three.")
    expect(waiting).to_have_count(0)
    assert model.prompts()[-1] == [
        ("user", "First"),
        ("assistant", "One."),
        ("user", "Second"),
        ("assistant", "Two."),
        ("user", "Third"),
    ]


def test_a_prompt_that_is_refused_is_back_in_the_field_with_the_reason(
    page: Page, site: Site
) -> None:
    refusal = {
        "type": "urn:llamakeep:problem:quota-exceeded",
        "title": "This prompt may take more than a limit leaves.",
        "status": 429,
        "detail": "The limit has 12 tokens left. Nothing was stored.",
        "limit": {
            "name": "tokens_per_day",
            "whose": "user",
            "limit": 100,
            "left": 12,
            "resets_at": "2100-01-01T00:00:00Z",
        },
    }
    page.route("**/prompt/", lambda route: route.fulfill(status=429, json=refusal))
    send(page, "Too much")
    expect(page.get_by_role("alert")).to_contain_text("12 tokens left")
    expect(page.get_by_role("alert")).to_contain_text("It resets")
    expect(prompt_field(page)).to_have_value("Too much")
    assert site.history() == []


def test_a_megabyte_pasted_does_not_stop_the_page(page: Page, site: Site) -> None:
    text = "A line of a very long paste, with a needle.\n" * 22_000
    prompt_field(page).evaluate(PASTE, text)
    expect(page.get_by_text("968,000 characters")).to_be_visible()
    prompt_field(page).press("Control+Enter")
    expect(turn(page)).to_contain_text("Hello, world.")
    expect(turn(page).get_by_role("button", name="Show all")).to_be_visible()
    assert site.history()[0]["prompt"] == text
    page.evaluate("() => { document.activeElement.blur(); }")
    assert page.evaluate("() => find('needle', false, false, true)")
