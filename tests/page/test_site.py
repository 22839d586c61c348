"""The documentation as a site, which `make site` builds, opened as a file."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

HOME = Path(__file__).parents[2] / "build" / "site" / "index.html"


def test_the_documentation_is_searched_without_a_server(browser: Browser) -> None:
    if not HOME.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("make site")
    page = browser.new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(HOME.as_uri())
    page.locator("button.md-search__button").click()
    page.locator("input:visible").press_sequentially("verified weekday")

    page.get_by_role("option", name="A backup each night").click()

    expect(page.locator("h1")).to_contain_text("Deploy")
    page.close()
    assert {url.partition(":")[0] for url in loaded} <= {"file", "data", "blob"}
