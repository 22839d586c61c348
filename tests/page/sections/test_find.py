"""Finding what was asked and answered, and deleting it."""

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.page.past import past
from tests.page.site import Site
from tests.page.tabs import PHONE, Tabs, check_everywhere, requests_of, turn

LLAMAS: list[dict[str, Any]] = [
    {"prompt": "What hums?", "response": "A llama does."},
    {"prompt": "Feed the llamas", "model": "openai:owl", "metadata": {"farm": "big"}},
    {"prompt": "Something else", "status": "failed", "response": "", "days": 40},
]


def rows(page: Page) -> Locator:
    return page.locator(".results article:visible")


def words(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="Words in prompts and answers")


def test_search_finds_words_in_titles_prompts_and_answers_and_back_returns_to_it(
    tabs: Tabs, site: Site
) -> None:
    many = [
        {"prompt": f"Tell {number}", "response": "A llama."} for number in range(40)
    ]
    runs = past(site, *LLAMAS, *many)
    titled = runs[2]["conversation_id"]
    site.call("PATCH", f"/conversations/{titled}", json={"title": "Llama plans"})
    page = tabs.open(site, "/find")
    words(page).press_sequentially("llam")
    expect(page.locator("mark").first).to_have_text("llama")
    expect(page).to_have_url(re.compile(r"q=llam"))
    words(page).fill("llama")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"q=llama$"))
    expect(page.locator("main").get_by_role("link", name="Llama plans")).to_be_visible()
    expect(rows(page)).to_have_count(30)
    page.get_by_role("button", name="Show more").click()
    expect(rows(page)).to_have_count(41)
    answer = page.locator(".answered", has_text="A llama does.")
    expect(answer.locator("mark")).to_have_text("llama")
    page.locator(".lead", has_text="What hums?").click()
    expect(turn(page)).to_contain_text("A llama does.")
    expect(page).to_have_url(re.compile(f"/c/conv_.*#{runs[0]['id']}"))
    page.go_back()
    expect(rows(page)).to_have_count(41)
    expect(page.locator(".lead", has_text="What hums?")).to_be_in_viewport()
    expect(words(page)).to_have_value("llama")


def test_filters_are_in_the_address_and_reload_and_back_keep_them(
    tabs: Tabs, site: Site
) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, "/find")
    expect(rows(page)).to_have_count(3)
    page.get_by_role("button", name="Model").click()
    page.get_by_role("menuitem", name="openai:owl").click()
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?model=openai%3Aowl$"))
    page.reload()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("link", name="Model: openai:owl. Remove this filter").click()
    expect(rows(page)).to_have_count(3)
    page.get_by_role("button", name="Time").click()
    page.get_by_role("menuitem", name="Last 30 days").click()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Tag").click()
    page.get_by_role("menuitem", name="farm:big").click()
    expect(rows(page)).to_have_count(1)
    page.go_back()
    expect(rows(page)).to_have_count(2)
    page.go_back()
    expect(rows(page)).to_have_count(3)


def test_where_nothing_is_found_the_search_without_each_filter_is_offered(
    tabs: Tabs, site: Site
) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, "/find?q=hum&status=failed")
    expect(page.get_by_text("Words are whole words")).to_be_visible()
    check_everywhere(page)
    page.get_by_role("link", name="Without “Words: hum”").click()
    expect(rows(page)).to_have_count(1)
    words(page).fill("!!!")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The request is not valid.")
    expect(rows(page)).to_have_count(1)


def test_what_leads_somewhere_is_a_link(tabs: Tabs, site: Site) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, "/find?q=llama")
    result = page.locator(".lead", has_text="What hums?")
    with page.context.expect_page() as opened:
        result.click(button="middle")
    expect(turn(opened.value)).to_contain_text("A llama does.")
    expect(rows(page)).to_have_count(1)
    links = page.locator("a").evaluate_all("found => found.map(a => a.href)")
    assert len(links) > 8
    for link in links:
        other = page.context.request.get(link, headers={"Accept": "text/html"})
        assert other.headers["content-type"].startswith("text/html"), link


def test_what_was_found_is_taken_away_as_a_file(tabs: Tabs, site: Site) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, "/find?q=llam*")
    page.get_by_role("button", name="Export these").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    text = download.value.path().read_text()
    assert "Feed the llamas" in text
    assert "Something else" not in text


def test_deleting_many_asks_for_their_number_and_can_be_undone_for_ten_seconds(
    tabs: Tabs, site: Site
) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, "/find?q=llam*", has_clock=True)
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Delete these").click()
    dialog = page.get_by_role("dialog", name="Delete 2 runs?")
    dialog.get_by_role("textbox").fill("3")
    dialog.get_by_role("button", name="Delete them").click()
    expect(dialog.get_by_role("alert")).to_contain_text("it is 2")
    dialog.get_by_role("textbox").fill("2")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(rows(page)).to_have_count(2)
    page.clock.fast_forward(12_000)
    assert len(site.history()) == 3
    page.get_by_role("button", name="Delete these").click()
    dialog.get_by_role("textbox").fill("2")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(0)
    assert len(site.history()) == 3
    page.clock.fast_forward(12_000)
    expect(page.locator(".notice")).to_have_text("2 runs deleted.")
    assert len(site.history()) == 1


def test_rows_are_gone_through_by_keys_and_on_a_phone(tabs: Tabs, site: Site) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, "/find?q=llam*")
    expect(rows(page)).to_have_count(2)
    for key in "jjk":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(turn(page)).to_contain_text("Feed the llamas")
    page.go_back()
    expect(rows(page)).to_have_count(2)
    check_everywhere(page)
    page.set_viewport_size(PHONE)
    page.locator(".lead", has_text="What hums?").click()
    expect(turn(page)).to_contain_text("A llama does.")


def test_a_conversation_that_is_deleted_comes_back_with_undo(
    tabs: Tabs, site: Site
) -> None:
    run = site.ask("Forget this")
    page = tabs.open(site, f"/c/{run['conversation_id']}", has_clock=True)
    for is_undone in (True, False):
        expect(turn(page)).to_contain_text("Hello, world.")
        page.get_by_role("button", name="More about this conversation").click()
        page.get_by_role("menuitem", name="Delete").click()
        expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
        expect(page.get_by_role("link", name="Forget this")).to_have_count(0)
        assert len(site.history()) == 1
        if is_undone:
            page.get_by_role("button", name="Undo").click()
    page.clock.fast_forward(12_000)
    expect(page.locator(".notice")).to_have_text("The conversation is deleted.")
    assert site.history() == []


def test_an_idle_tab_asks_nothing(tabs: Tabs, site: Site) -> None:
    past(site, *LLAMAS)
    page = tabs.open(site, has_clock=True)
    asked = requests_of(page)
    for path in ("/", "/find", "/usage"):
        page.goto(site.origin + path)
        expect(page.get_by_role("link", name="What hums?").first).to_be_visible()
        page.wait_for_load_state("load")
        page.clock.fast_forward(1_000)
        page.wait_for_timeout(200)
        asked.clear()
        page.clock.fast_forward(60_000)
        page.wait_for_timeout(200)
        # The stream, and files of what is shown, are no questions.
        assert [url for url in asked if not re.search("/events/|/page/", url)] == []
