"""Several versions of a turn, and several tabs on one conversation."""

from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.site import Site
from tests.page.tabs import send, turn


def test_answer_again_and_edit_keep_what_was_there(
    page: Page, site: Site, model: Model
) -> None:
    model.says(["One."], ["Two."], ["Three."], ["Four."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One.")
    send(page, "Second")
    expect(turn(page)).to_contain_text("Two.")
    turn(page, 0).get_by_role("button", name="Answer again").click()
    expect(page.locator("article.turn")).to_have_count(1)
    expect(turn(page, 0)).to_contain_text("Three.")
    expect(page.get_by_label("Version 2 of 2")).to_be_visible()
    page.get_by_role("button", name="The version before").click()
    expect(turn(page, 0)).to_contain_text("One.")
    expect(turn(page, 1)).to_contain_text("Two.")
    turn(page, 1).get_by_role("button", name="Edit").click()
    field = page.get_by_role("textbox", name="Prompt")
    expect(field).to_have_value("Second")
    field.fill("Second, in other words")
    page.keyboard.press("Enter")
    expect(turn(page, 1)).to_contain_text("Four.")
    assert model.prompts()[-1] == [
        ("user", "First"),
        ("assistant", "One."),
        ("user", "Second, in other words"),
    ]
    assert len(site.history()) == 4
    page.reload()
    expect(turn(page, 1)).to_contain_text("Four.")
    expect(page.locator("article.turn")).to_have_count(2)


def test_an_edited_first_prompt_follows_nothing(page: Page, model: Model) -> None:
    model.says(["One."], ["Two."])
    send(page, "First")
    expect(turn(page).locator(".facts")).to_be_visible()
    field = page.get_by_role("textbox", name="Prompt")
    field.press("ArrowUp")
    expect(field).to_have_value("First")
    field.fill("Another first")
    page.keyboard.press("Enter")
    expect(turn(page)).to_contain_text("Two.")
    expect(page.get_by_label("Version 2 of 2")).to_be_visible()
    assert model.prompts()[-1] == [("user", "Another first")]


def test_two_tabs_on_one_conversation_show_the_same(
    page: Page, site: Site, model: Model
) -> None:
    gate = model.gate()
    model.says(["One."], ["Two", gate, "."], ["Three."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One.")
    other = page.context.new_page()
    other.goto(page.url)
    expect(turn(other)).to_contain_text("One.")
    send(page, "Second")
    expect(turn(other, 1)).to_contain_text("Two")
    gate.set()
    expect(turn(other, 1)).to_contain_text("Two.")
    send(other, "Third")
    for tab in (page, other):
        expect(turn(tab, 2)).to_contain_text("Three.")
        expect(tab.locator("article.turn")).to_have_count(3)
    assert [run["prompt"] for run in site.history()] == ["Third", "Second", "First"]


def test_what_a_program_asks_in_a_conversation_appears_live(
    page: Page, site: Site, model: Model
) -> None:
    model.says(["One."], ["Two."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One.")
    conversation = page.url.rsplit("/", 1)[1]
    site.ask("From a program", conversation_id=conversation)
    expect(turn(page, 1)).to_contain_text("From a program")
    expect(turn(page, 1)).to_contain_text("Two.")
