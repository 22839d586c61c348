"""A server with a provider, and a browser in which alice has logged in."""

import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.cores import pin_to_server_core
from bench.processes import Running, free_port, process
from bench.shipped import CREDENTIALS, OURS, serving_shipped
from llamakeep.domain import new_id

UNTIL = """
globalThis.until = (isSo) => new Promise((resolve) => {
    const look = () => {
        const found = isSo();
        if (found) resolve(performance.now());
        else requestAnimationFrame(look);
    };
    look();
});
"""
"""Looks before each frame whether something is so; what it resolves to is when."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the parts measure with."""

    browser: Browser
    server: Running
    upstream: int
    """The provider's port."""
    rounds: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def device(self) -> BrowserContext:
        """Return a browser with nothing stored but alice's login."""
        context = self.browser.new_context(base_url=self.origin)
        context.set_default_timeout(60_000)
        context.add_init_script(UNTIL)
        login = {"username": "alice", "password": "secret1"}
        headers = {"Origin": self.origin}
        answer = context.request.post("/login/cookie/", data=login, headers=headers)
        assert answer.ok, answer.text()
        return context

    def open(self, path: str = "/") -> Page:
        """Return a tab of such a browser."""
        page = self.device().new_page()
        page.goto(path)
        return page

    def post(self, path: str, body: bytes) -> Any:
        """Do as a program of alice's does."""
        request = urllib.request.Request(f"{self.origin}{path}", body, CREDENTIALS)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def import_conversation(self, runs: int) -> tuple[str, list[str]]:
        """Give alice a conversation; return its id and those of its runs."""
        begin = datetime.now(UTC) - timedelta(days=1)
        conversation = new_id("conv_", at=begin)
        ids = [new_id("run_", at=begin + timedelta(seconds=n)) for n in range(runs)]
        lines = [
            json.dumps(
                {
                    "id": run_id,
                    "conversation_id": conversation,
                    "prompt": f"Prompt {n}",
                    "response": f"Answer {n} of many, with **some** words.",
                    "status": "succeeded",
                    "model": "openai:bench",
                    "created_at": (begin + timedelta(seconds=n)).isoformat(),
                    "finished_at": (begin + timedelta(seconds=n)).isoformat(),
                }
            )
            for n, run_id in enumerate(ids)
        ]
        for start in range(0, runs, 1000):
            chunk = "\n".join(lines[start : start + 1000])
            self.post("/history/import", chunk.encode())
        return conversation, ids


@contextmanager
def open_place(rounds: int) -> Iterator[Place]:
    """Start all of it on a database that is new."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no chromium: apt-get install chromium")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port, upstream = free_port(), free_port()
        provider = stack.enter_context(
            process("bench.upstream", upstream, folder=folder)
        )
        pin_to_server_core(provider.pid)
        server = stack.enter_context(serving_shipped(OURS, port, upstream, folder))
        playwright = stack.enter_context(sync_playwright())
        # Root, as which containers run, cannot have Chromium's sandbox.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        yield Place(browser, server, upstream, rounds)


def send(page: Page, text: str) -> None:
    """Type a prompt, and send it."""
    page.get_by_role("textbox", name="Prompt").fill(text)
    page.keyboard.press("Control+Enter")
