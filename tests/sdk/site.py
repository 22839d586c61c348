"""A server that client libraries talk to, and the model behind it."""

import os
import signal
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.acceptance.processes import Runner
from tests.acceptance.runner import Order
from tests.emulator.driver import Driver
from tests.tool_upstream import Upstream
from tests.waiting import LONG_ENOUGH

ALICE, BOB = "token_alice", "token_bob"


class Process:
    """A real server in a process of its own, whose database lives as long as this."""

    def __init__(
        self, runner: Runner, folder: Path, **settings: str | float | list[str]
    ) -> None:
        self._runner = runner
        self._database = folder / "sdk.db"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        ours: dict[str, str | float | list[str]] = {
            "database_url": f"sqlite:///{self._database}",
            "demo": True,
            "shutdown_grace": 0.3,
            "flush_interval": 0.05,
            "settle_time": 0.3,
        }
        self._order = Order(
            settings=ours | settings,
            log=str(folder / "log"),
            words=5,
            pause=0.005,
            is_free=True,
            is_real=True,
        )
        self._pid = runner.start(self._order, self._listener)

    def wait_for_arguments(self) -> None:
        """Wait until arguments are on disk that are still being written."""
        self._wait_for("""output LIKE '%tool_call%{\\"%'""")

    def wait_for_text(self) -> None:
        """Wait until a part of a text is on disk that is still being written."""
        self._wait_for("response != ''")

    def _wait_for(self, condition: str) -> None:
        query = f"SELECT count(*) FROM runs WHERE status = 'processing' AND {condition}"
        end = time.monotonic() + LONG_ENOUGH
        with closing(sqlite3.connect(self._database)) as database:
            while not database.execute(query).fetchone()[0]:
                assert time.monotonic() < end, "Nothing is being written."
                time.sleep(0.02)

    def restart(self) -> None:
        """Kill the server and start it again; whoever connects meanwhile waits."""
        self.stop()
        self._pid = self._runner.start(self._order, self._listener)

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._runner.status(self._pid)

    def close(self) -> None:
        self.stop()
        self._listener.close()


class Site(Process):
    """
    A server that is answered by the Replicate emulator.

    The emulator echoes prompts at once; rules and settings change what it does, see
    `docs/emulator.md`. The model `openai:busy` wants everybody to wait.
    """

    def __init__(
        self, runner: Runner, folder: Path, replicate: Driver, busy_origin: str
    ) -> None:
        self.replicate = replicate
        super().__init__(
            runner,
            folder,
            replicate_api_token="r8_emulated",
            replicate_base_url=replicate.origin,
            openai_base_url=busy_origin,
            openai_models=["busy"],
            webhooks=True,
            webhook_networks=["127.0.0.0/8"],
        )


class ToolSite(Process):
    """A server that is answered by a model which calls tools."""

    def __init__(
        self,
        runner: Runner,
        folder: Path,
        upstream: Upstream,
        **settings: str | float | list[str],
    ) -> None:
        self.upstream = upstream
        super().__init__(runner, folder, openai_base_url=upstream.url, **settings)
