"""A server in a process of its own, as users of the page and programs see it."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from llamakeep.cli.users import add_user
from llamakeep.settings import Settings
from tests.acceptance.processes import Runner
from tests.acceptance.runner import Order
from tests.page.model import NAME
from tests.waiting import LONG_ENOUGH

MODEL = f"openai:{NAME}"
LAN = "llama.lan"
"""A name that leads browsers here, but that is not this computer's to them."""


def eventually(is_so: Callable[[], Any], *, within: float = LONG_ENOUGH) -> Any:
    """Wait for what happens outside the browser, and return it."""
    deadline = time.monotonic() + within
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


class Site:
    """
    A server with a database of its own.

    Args:
        runner: What starts it.
        folder: Where its database is.
        talks: Whether it has a model of its own that says random words, and that is
            asked again when the server was killed; else `model_url` answers.
    """

    def __init__(
        self,
        runner: Runner,
        folder: Path,
        *,
        model_url: str = "",
        talks: bool = False,
        words: int = 40,
        pause: float = 0.05,
        **settings: Any,
    ) -> None:
        self._runner = runner
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.database = folder / "page.db"
        ours: dict[str, Any] = {
            "database_url": f"sqlite:///{self.database}",
            "demo": True,
            "shutdown_grace": 0.3,
            "flush_interval": 0.05,
        }
        if model_url:
            ours |= {"openai_base_url": model_url, "openai_models": [NAME]}
        self._order = Order(
            settings=ours | settings,
            log=str(folder / "log"),
            words=words,
            pause=pause,
            is_free=True,
            is_real=not talks,
        )
        self.pid = runner.start(self._order, self._listener)
        self.client = httpx2.Client(
            base_url=self.origin,
            headers={"Authorization": "Bearer token_alice"},
            timeout=LONG_ENOUGH,
            trust_env=False,
            verify=False,  # nothing here is encrypted, and loading certificates is slow
        )

    def add_admin(self, username: str, password: str) -> None:
        """Have the operator make an administrator, on the server's computer."""
        self.call("GET", "/healthz")  # which has the database made first
        settings = Settings.model_validate(self._order.settings)
        adding = add_user(settings, username, password, is_admin=True)
        # The browser's event loop is this thread's.
        with ThreadPoolExecutor() as pool:
            pool.submit(asyncio.run, adding).result()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Do as a program of alice's does, and return the JSON of the response."""
        response = self.client.request(method, path, **options)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def ask(self, prompt: str, **fields: Any) -> dict[str, Any]:
        """Have a program ask something, and wait for the answer."""
        run: dict[str, Any] = self.call(
            "POST", "/prompt/", json={"prompt": prompt, **fields}
        )
        return run

    def begin(self, prompt: str, **fields: Any) -> dict[str, Any]:
        """Have a program ask something, without waiting for the answer."""
        return self.ask(prompt, background=True, **fields)

    def history(self) -> list[dict[str, Any]]:
        """Return alice's runs, the newest first."""
        runs: list[dict[str, Any]] = self.call("GET", "/history/?limit=200")["history"]
        return runs

    def kill(self) -> None:
        """Kill the server; who connects waits until it is started again."""
        os.kill(self.pid, signal.SIGKILL)
        self._runner.status(self.pid)

    def start(self) -> None:
        """Start the server again."""
        self.pid = self._runner.start(self._order, self._listener)

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.kill()
        self._listener.close()


NewSite = Callable[..., Site]
"""Starts a server with these of `Site`'s arguments by name."""
