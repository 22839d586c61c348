"""Where a conversation is scrolled to while it grows."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.site import eventually
from tests.page.tabs import log, send, top_of, turn

PARAGRAPHS = [f"Paragraph {number}.\n\n" for number in range(60)]
AT_END = "e => e.scrollHeight - e.clientHeight - e.scrollTop < 30"


def test_a_prompt_goes_up_as_its_answer_grows_until_it_is_at_the_top(
    page: Page, model: Model
) -> None:
    gate = model.gate()
    model.says(["Short."], [*PARAGRAPHS[:30], gate, *PARAGRAPHS[30:]])
    send(page, "First")
    expect(turn(page)).to_contain_text("Short.")
    send(page, "Second")
    expect(turn(page, 1)).to_contain_text("Paragraph 29.")
    top = top_of(turn(page, 1))
    head = top_of(log(page))
    assert 0 <= top - head <= 40
    gate.set()
    expect(turn(page, 1)).to_contain_text("Paragraph 59.")
    assert top_of(turn(page, 1)) == pytest.approx(top, abs=2)
    expect(page.get_by_role("button", name="Latest")).to_be_visible()


def test_who_scrolled_away_stays_there_and_who_is_at_the_end_follows(
    page: Page, model: Model
) -> None:
    gate, end = model.gate(), model.gate()
    model.says([*PARAGRAPHS[:30], gate, *PARAGRAPHS[30:50], end, *PARAGRAPHS[50:]])
    send(page, "Tell me")
    expect(turn(page)).to_contain_text("Paragraph 29.")
    page.get_by_role("button", name="Latest").click()
    gate.set()
    expect(turn(page)).to_contain_text("Paragraph 49.")
    eventually(lambda: log(page).evaluate(AT_END))
    log(page).hover()
    page.mouse.wheel(0, -600)
    eventually(lambda: not log(page).evaluate(AT_END))
    page.wait_for_timeout(100)
    before = log(page).evaluate("e => e.scrollTop")
    end.set()
    expect(turn(page).locator(".facts")).to_be_attached()
    assert log(page).evaluate("e => e.scrollTop") == pytest.approx(before, abs=2)
