"""A browser for each process, a server with a database of its own for each test."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.processes import Runner
from tests.debian import debian_program
from tests.page.model import Model, open_model
from tests.page.site import LAN, NewSite, Site
from tests.page.tabs import Tabs

if sys.platform == "win32":
    pytest.skip("The runner forks.", allow_module_level=True)

expect.set_options(timeout=20_000)

_ARGUMENTS = [
    "--no-sandbox",  # which root cannot have
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    f"--host-resolver-rules=MAP {LAN} 127.0.0.1",
]


@pytest.fixture
def blockbuster() -> None:
    """Guard no event loop: the browser's is this thread's, which its tests block."""


# Not for the session: as long as it is open, no test outside can run an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    chromium = debian_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=_ARGUMENTS,
            env={**os.environ, "LANG": "C.UTF-8"},
        )
        yield browser
        browser.close()


@pytest.fixture
def model() -> Iterator[Model]:
    """What answers, as the test tells it to."""
    with open_model() as model:
        yield model


@pytest.fixture
def new_site(runner: Runner, tmp_path: Path, model: Model) -> Iterator[NewSite]:
    """Starts servers that `model` answers for; they end with the test."""
    with ExitStack() as stack:

        def new(**wanted: Any) -> Site:
            folder = Path(mkdtemp(dir=tmp_path))
            site = Site(runner, folder, **{"model_url": model.url, **wanted})
            stack.callback(site.close)
            return site

        yield new
        model.open()


@pytest.fixture
def site(new_site: NewSite) -> Site:
    return new_site()


@pytest.fixture
def talking_site(new_site: NewSite) -> Site:
    """A server whose model says other words each time, also after a restart."""
    return new_site(model_url="", talks=True)


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """Tabs of browsers; all of what they say is looked at when the test ends."""
    tabs = Tabs(browser)
    yield tabs
    tabs.close()


@pytest.fixture
def page(tabs: Tabs, site: Site) -> Page:
    """A tab on a new conversation, where alice has logged in."""
    return tabs.open(site)
