"""Limits: what is used of them, what is reserved, and what is left."""

import re

from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.site import NewSite
from tests.page.tabs import Tabs, check_everywhere, send

MIDNIGHT = re.compile("00:00:00 UTC$")


def test_limits_show_what_is_set_aside_until_a_run_has_ended(
    tabs: Tabs, new_site: NewSite, model: Model
) -> None:
    site = new_site(
        user_limits={
            "concurrent_runs": 2,
            "tokens_per_day": 5000,
            "dollars_per_month": 1,
        },
        server_limits={"dollars_per_month": 50},
        prices={"openai:parrot": {"input": 1, "output": 2}},
    )
    gate = model.gate()
    model.says(["Wait. ", gate, "Done."])
    site.begin("Hello", max_tokens=1000)
    page = tabs.open(site, "/settings/limits")
    row = page.get_by_role("row").filter(has_text="Tokens a day")
    reserved = site.call("GET", "/me/limits")["limits"][1]["reserved"]
    assert reserved > 1000
    expect(row).to_contain_text(f"{reserved:,.0f}{5000 - reserved:,.0f}")
    expect(row.locator("time")).to_have_attribute("title", MIDNIGHT)
    check_everywhere(page)
    gate.set()
    # It is seen without a reload: three tokens were said, and seven asked.
    expect(row).to_contain_text("1004,990")


def test_a_limit_that_is_reached_is_named_at_the_prompt_which_stays(
    tabs: Tabs, new_site: NewSite
) -> None:
    site = new_site(user_limits={"tokens_per_day": 100})
    page = tabs.open(site)
    send(page, "Is there enough left?")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Your limit “tokens per day” has 100 left.")
    expect(alert.locator("time")).to_have_attribute("title", MIDNIGHT)
    field = page.get_by_role("textbox", name="Prompt")
    expect(field).to_have_value("Is there enough left?")
    assert site.history() == []


def test_without_limits_it_says_so(page: Page) -> None:
    page.goto("/settings/limits")
    expect(page.get_by_text("No limits are set for you.")).to_be_visible()
