"""Answers while they are written: reloads, crashes, other devices."""

import re
import time
from functools import partial

from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.site import NewSite, Site, eventually
from tests.page.tabs import Tabs, check_everywhere, send, turn


def is_stored(site: Site, text: str) -> bool:
    return bool(site.history()[0]["response"] == text)


def test_a_reload_while_an_answer_is_written_continues_it(
    page: Page, site: Site, model: Model
) -> None:
    gate, end = model.gate(), model.gate()
    model.says(["Once upon", gate, " a time", end, " there was a llama."])
    send(page, "Tell me a story")
    expect(turn(page)).to_contain_text("Once upon")
    eventually(lambda: site.history()[0]["response"])
    page.reload()
    expect(turn(page)).to_contain_text("Once upon")
    gate.set()
    expect(turn(page)).to_contain_text("Once upon a time")
    end.set()
    expect(turn(page).locator(".text")).to_have_text(
        "Once upon a time there was a llama."
    )
    expect(turn(page).locator(".facts")).to_contain_text("3 tokens")
    assert site.history()[0]["response"] == "Once upon a time there was a llama."


def test_a_server_that_is_killed_meanwhile_is_told_and_what_is_kept_is_shown(
    page: Page, site: Site, model: Model
) -> None:
    gate = model.gate()
    model.says(["The first half", gate])
    send(page, "Tell me")
    expect(turn(page)).to_contain_text("The first half")
    eventually(lambda: site.history()[0]["response"])
    site.kill()
    expect(page.get_by_text("Reconnecting… nothing is lost.")).to_be_visible()
    site.start()
    expect(turn(page)).to_contain_text("Interrupted.")
    expect(turn(page)).to_contain_text("The first half")
    expect(page.get_by_text("Reconnecting")).to_be_hidden()
    expect(page.locator("article.turn")).to_have_count(1)


def test_words_that_were_not_kept_when_the_server_was_killed_are_told(
    tabs: Tabs, new_site: NewSite, model: Model
) -> None:
    site = new_site(flush_interval=60, lease=180)
    gate = model.gate()
    model.says(["Once", gate, " upon a time", model.gate()])
    page = tabs.open(site)
    send(page, "Tell me")
    expect(turn(page)).to_contain_text("Once")
    gate.set()
    expect(turn(page)).to_contain_text("Once upon a time")
    site.kill()
    site.start()
    expect(turn(page)).to_contain_text("Interrupted.")
    expect(turn(page)).to_contain_text("Cut. The server stopped")
    expect(turn(page)).not_to_contain_text("Written anew.")
    turn(page).get_by_text("What was read before").click()
    expect(turn(page).locator("details .said")).to_have_text("Once upon a time")
    check_everywhere(page)


def test_a_text_that_was_made_anew_is_told_and_both_are_kept(
    tabs: Tabs, talking_site: Site
) -> None:
    page = tabs.open(talking_site)
    send(page, "Say something")
    expect(turn(page).locator(".text")).to_contain_text(re.compile("é.* é.* é"))
    eventually(lambda: talking_site.history()[0]["response"].count("é") > 2)
    before = talking_site.history()[0]["response"].split()[0]
    talking_site.kill()
    talking_site.start()
    expect(turn(page)).to_contain_text("Written anew.")
    expect(turn(page).locator(".facts")).to_contain_text("40 tokens")
    text = talking_site.history()[0]["response"].strip()
    assert before not in text
    assert turn(page).locator(".answer > .text").inner_text().split() == text.split()
    turn(page).get_by_text("What was read before").click()
    expect(turn(page).locator("details .said")).to_contain_text(before)
    check_everywhere(page)


def test_an_answer_is_live_on_another_device_and_either_can_stop_it(
    page: Page, tabs: Tabs, site: Site, model: Model
) -> None:
    gate, end = model.gate(), model.gate()
    model.says(["It begins", gate, " and continues", end])
    send(page, "Tell me")
    expect(turn(page)).to_contain_text("It begins")
    page.wait_for_url("**/c/*")
    phone = tabs.open(site, page.url.removeprefix(site.origin))
    expect(turn(phone)).to_contain_text("It begins")
    gate.set()
    expect(turn(phone)).to_contain_text("It begins and continues")
    phone.get_by_role("button", name="Stop").click()
    expect(turn(phone)).to_contain_text("Stopped.")
    expect(turn(page)).to_contain_text("Stopped.")
    expect(turn(page)).to_contain_text("It begins and continues")


def test_stop_stops_the_provider_and_keeps_prompt_and_text(
    page: Page, site: Site, model: Model
) -> None:
    model.says(["As far as here", model.gate()])
    send(page, "Talk for ever")
    expect(turn(page)).to_contain_text("As far as here")
    began = time.monotonic()
    page.keyboard.press("Control+.")
    eventually(lambda: model.stopped)
    assert time.monotonic() - began < 2
    expect(turn(page)).to_contain_text("Stopped.")
    [run] = site.history()
    assert (run["status"], run["response"]) == ("canceled", "As far as here")
    assert run["prompt"] == "Talk for ever"


def test_answers_continue_while_another_conversation_is_looked_at(
    page: Page, model: Model
) -> None:
    one, other = model.gate(), model.gate()
    model.says(["First ", one, "end."], ["Second ", other, "end."])
    send(page, "The first")
    expect(turn(page)).to_contain_text("First")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    send(page, "The second")
    expect(turn(page)).to_contain_text("Second")
    expect(page.locator("nav .dot")).to_have_count(2)
    one.set()
    expect(page.locator("nav .ring")).to_have_count(1)
    page.get_by_role("link", name="The first").click()
    expect(turn(page)).to_contain_text("First end.")
    expect(page.locator("nav .ring")).to_have_count(0)
    other.set()
    expect(page.locator("nav .dot")).to_have_count(0)
    page.go_back()
    expect(turn(page)).to_contain_text("Second end.")


def test_an_answer_full_of_emoji_resumes_without_a_lost_or_doubled_character(
    page: Page, site: Site, model: Model
) -> None:
    pieces = ["🦙👩‍🌾", "🇳🇴", "e\u0301🦙", "👍🏽🦙", "🏔️ a 🦙"]
    gates = [model.gate() for _ in pieces]
    model.says([each for pair in zip(pieces, gates, strict=True) for each in pair])
    send(page, "In emoji")
    for number, gate in enumerate(gates):
        so_far = "".join(pieces[: number + 1])
        expect(turn(page).locator(".text")).to_have_text(so_far)
        if number % 2:
            eventually(partial(is_stored, site, so_far))
            page.reload()
            expect(turn(page).locator(".text")).to_have_text(so_far)
        else:
            page.context.set_offline(True)
            page.context.set_offline(False)
        gate.set()
    expect(turn(page).locator(".facts")).to_be_visible()
    expect(turn(page).locator(".text")).to_have_text("".join(pieces))


def test_text_can_be_selected_while_it_is_written(page: Page, model: Model) -> None:
    gate = model.gate()
    model.says(
        ["The first paragraph.\n\nThe sec", gate, "ond paragraph.\n\nThe third."]
    )
    send(page, "Three paragraphs")
    expect(turn(page)).to_contain_text("The sec")
    turn(page).locator(".text p").first.click(click_count=3)
    selected = "() => getSelection().toString().trim()"
    assert page.evaluate(selected) == "The first paragraph."
    gate.set()
    expect(turn(page)).to_contain_text("The third.")
    assert page.evaluate(selected) == "The first paragraph."
