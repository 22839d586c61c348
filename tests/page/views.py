"""All views of who is logged in, with something to show in each."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from playwright.sync_api import Page, expect

from tests.page.model import RICH, Model
from tests.page.site import Site
from tests.page.tabs import PASSWORDS, Tabs


class View(NamedTuple):
    """A view's path, the addresses it asks for, and a heading that it has then."""

    path: str
    api: str
    heading: str

    def open(self, page: Page) -> None:
        """Open it, and wait until it is there."""
        page.goto(f"/{self.path}")
        self.is_shown(page)

    def is_shown(self, page: Page) -> None:
        """Wait until it is there."""
        heading = page.get_by_role("heading", name=self.heading, exact=True)
        expect(heading.first).to_be_attached()
        expect(page.locator(".outline")).to_have_count(0)


class Furnished(NamedTuple):
    """A tab of an administrator who has used most of what there is."""

    page: Page
    views: Sequence[View]


def furnish(tabs: Tabs, site: Site, model: Model) -> Furnished:
    """Let an administrator ask something and make a key, and return their tab."""
    model.says([RICH])
    site.add_admin("root", PASSWORDS["root"])
    device = tabs.device(site, "root")
    made = []
    for path, body in (
        ("prompt/", {"prompt": "What is a llama?", "metadata": {"farm": "big"}}),
        ("keys/", {"name": "nightly"}),
    ):
        answer = device.request.post(
            f"{site.origin}/{path}", data=body, headers={"Origin": site.origin}
        )
        made.append(json.loads(answer.body()))
    run = made[0]
    views = [
        View("", "models/", "New conversation"),
        View(f"c/{run['conversation_id']}", "history/*", "What is a llama?"),
        View(f"r/{run['id']}", f"history/{run['id']}", "What is a llama?"),
        View("find?q=llama", "history/*", "Find"),
        View(f"compare?run={run['id']}", f"history/{run['id']}", "Compare"),
        View("usage", "history/stats*", "Usage"),
        View("settings", "me/logins/", "Settings"),
        View("settings/keys", "keys/", "API keys"),
        View("settings/limits", "me/limits", "Limits"),
        View("manage/users", "admin/users/*", "Users"),
        View("manage/usage", "admin/stats*", "Usage of all users"),
        View("manage/limits", "admin/limits", "Limits of all users"),
        View("manage/audit", "admin/audit*", "Audit log"),
        View("manage/providers", "admin/providers/", "Providers"),
    ]
    return Furnished(
        device.new_page(),
        [view._replace(api=f"{site.origin}/{view.api}") for view in views],
    )
