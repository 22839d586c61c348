"""Long conversations, and many of them."""

import sqlite3
import time
from contextlib import closing

from playwright.sync_api import expect

from tests.page.site import Site, eventually
from tests.page.tabs import Tabs, log, turn


def long_history(site: Site, count: int, *, conversations: int = 1) -> list[str]:
    """Store runs, and return their ids, the oldest first."""
    first = site.ask("Prompt 0")
    place, conversation = first["id"][:-6], first["conversation_id"][:-6]
    with closing(sqlite3.connect(site.database)) as connection, connection:
        # What the index is made of is of no interest here.
        connection.create_function("own_words", -1, lambda *_: "")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        new = {
            "id": f"printf('{place}%06d', n)",
            "conversation_id": f"printf('{conversation}%06d', n % {conversations})",
            "prompt": "'Prompt ' || n",
            "response": "'Answer ' || n || ' of many.'",
        }
        values = ", ".join(new.get(column, f'"{column}"') for column in columns)
        connection.execute(
            f"""WITH RECURSIVE numbers (n) AS (
                SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count}
            ) INSERT INTO runs SELECT {values} FROM runs, numbers WHERE id = ?""",
            (first["id"],),
        )
    site.call("DELETE", f"/history/{first['id']}")
    return [f"{place}{number:06d}" for number in range(count)]


def test_a_conversation_of_10000_runs_opens_at_its_end_and_stays_smooth(
    tabs: Tabs, site: Site
) -> None:
    long_history(site, 10_000)
    [conversation] = site.call("GET", "/conversations/")["conversations"]
    page = tabs.open(site)
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    began = time.monotonic()
    page.get_by_role("link", name="Prompt 0", exact=True).click()
    expect(turn(page)).to_contain_text("Answer 9999 of many.")
    assert time.monotonic() - began < 3
    expect(turn(page)).to_be_in_viewport()
    assert page.locator("article.turn").count() <= 60
    for _ in range(30):
        log(page).evaluate("e => e.scrollTop = 0")
        page.wait_for_timeout(50)
    assert page.locator("article.turn").count() <= 240
    assert page.evaluate("() => document.querySelectorAll('*').length") < 30_000
    assert conversation["id"] in page.url


def test_a_link_to_a_run_scrolls_to_it_and_marks_it_wherever_it_is(
    tabs: Tabs, site: Site
) -> None:
    ids = long_history(site, 200)
    [conversation] = site.call("GET", "/conversations/")["conversations"]
    page = tabs.open(site, f"/c/{conversation['id']}#{ids[77]}")
    marked = page.locator("article.marked")
    expect(marked).to_contain_text("Answer 77 of many.")
    expect(marked).to_be_in_viewport()
    expect(marked).to_be_focused()
    page.get_by_role("button", name="Latest").click()
    expect(turn(page)).to_contain_text("Answer 199 of many.")
    expect(turn(page)).to_be_in_viewport()


def test_of_many_conversations_50_are_asked_for_and_more_when_scrolled_to(
    tabs: Tabs, site: Site
) -> None:
    long_history(site, 300, conversations=300)
    page = tabs.open(site)
    links = page.locator("nav .conversations a")
    expect(links.first).to_contain_text("Prompt")
    assert links.count() <= 100
    for _ in range(4):
        links.last.scroll_into_view_if_needed()
        page.wait_for_timeout(100)
    eventually(lambda: links.count() > 150)
