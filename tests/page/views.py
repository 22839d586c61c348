"""All views of who is logged in, with something to show in each."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from playwright.sync_api import Page, expect

from tests.page.model import RICH, Model
from tests.page.site import Site
from tests.page.tabs import PASSWORDS, Tabs


class View(NamedTuple):
    """A view's path, what it asks for if anything, and a heading that it has then."""

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
    """Let an administrator ask something and make others, and return their tab."""
    model.says([RICH])
    site.add_admin("root", PASSWORDS["root"])
    device = tabs.device(site, "root")

    def make(path: str, body: dict[str, Any]) -> Any:
        answer = device.request.post(
            f"{site.origin}/{path}", data=body, headers={"Origin": site.origin}
        )
        return json.loads(answer.body())

    run = make("prompt/", {"prompt": "What is a llama?", "metadata": {"farm": "big"}})
    make("keys/", {"name": "nightly"})
    make("admin/invitations/", {"email": "carol@example.org"})
    robot = make("admin/users/", {"username": "robot", "service_account": True})
    robot_path = f"admin/users/{robot['id']}"
    make(f"{robot_path}/keys/", {"name": "hourly"})
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
        View(f"manage/users/{robot['id']}/keys", robot_path, "API keys of robot"),
        View("manage/invitations", "admin/invitations/*", "Invitations"),
        View("manage/usage", "admin/stats*", "Usage of all users"),
        View("manage/limits", "admin/limits", "Limits of all users"),
        View("manage/audit", "admin/audit*", "Audit log"),
        View(f"terminal#{'0' * 64}.laptop", "", "Log in a terminal"),
        View("manage/providers", "admin/providers/", "Providers"),
    ]
    return Furnished(
        device.new_page(),
        [view._replace(api=view.api and f"{site.origin}/{view.api}") for view in views],
    )
