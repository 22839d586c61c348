"""What was used: runs, tokens, cost."""

import re

from playwright.sync_api import Page, expect

from tests.page.past import past
from tests.page.site import Site
from tests.page.tabs import Tabs, check_everywhere

PRICED = {"usage": {"input_tokens": 100, "output_tokens": 50, "cost_usd": 0.25}}


def row(page: Page, table: str, name: str) -> list[str]:
    """Return the cells of a table's row."""
    region = page.get_by_role("region", name=table, exact=True)
    region.wait_for()
    cells = region.get_by_role("row").filter(has_text=name).locator("th, td")
    return cells.all_inner_texts()


def test_tokens_and_cost_are_told_and_a_price_that_is_not_known_is_never_0(
    tabs: Tabs, site: Site
) -> None:
    owl = {"model": "openai:owl"}
    past(site, owl | PRICED, owl | PRICED, owl, {}, {"status": "failed", "days": 50})
    page = tabs.open(site, "/usage")
    assert row(page, "By model", "openai:owl")[1:7] == [
        *("3", "3", "0", "207", "103"),
        "$0.50 and 1 not known",
    ]
    assert row(page, "By model", "openai:parrot")[6] == "price not known"
    assert "$0.00" not in page.locator("main").inner_text()
    expect(page.locator("dl.sums")).to_contain_text("4")
    expect(page.locator("main")).to_contain_text("Days are those of UTC.")
    check_everywhere(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("day,model,runs,")
    assert {line.split(",")[7] for line in lines[1:]} == {"0.5", ""}
    page.get_by_role("link", name="All", exact=True).click()
    expect(page.locator("dl.sums")).to_contain_text("1 failed")


def test_a_bar_leads_to_its_runs_and_back_returns_to_the_chart(
    tabs: Tabs, site: Site
) -> None:
    past(site, {"prompt": "Long ago", "days": 3}, {"prompt": "Today"})
    page = tabs.open(site, "/usage?show=tokens&by=status")
    page.locator(".bars a", has_text="Answered").first.click()
    expect(page.locator(".results article")).to_have_count(1)
    expect(page.locator(".results article")).to_contain_text("Long ago")
    expect(page).to_have_url(re.compile(r"find\?since=.*&until="))
    page.go_back()
    expect(page.get_by_role("heading", name="Tokens by day")).to_be_visible()


def test_a_time_without_runs_says_so(tabs: Tabs, site: Site) -> None:
    page = tabs.open(site, "/usage")
    expect(page.get_by_text("Nothing was asked in this time.")).to_be_visible()
    check_everywhere(page)
