"""The tests' side of `runner`: servers that can be started, killed and talked to."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.runner import Order
from tests.waiting import LONG_ENOUGH

ROOT = Path(__file__).parents[2]


def outside_variables() -> dict[str, str]:
    """Return this process's variables but for those that configure a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LLAMAKEEP_") and name != "REPLICATE_API_TOKEN"
    }


class Runner:
    """
    The process that forks servers; what it reports is read in a thread.

    Args:
        folder: Where it and they run.
        environment: Variables that they have beside this process's own.
        within: The command that runs it, and so them, somewhere else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        httpx2.AsyncHTTPTransport()  # the first one imports, which blocks
        self._control, theirs = socket.socketpair()
        ours = outside_variables()
        command = [sys.executable, "-m", "tests.acceptance.runner"]
        with theirs:
            self._process = subprocess.Popen(
                [*within, *command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=ours | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
                cwd=folder,
            )
        self._control.settimeout(LONG_ENOUGH)
        self._reports = self._control.makefile()
        self._statuses: dict[int, int] = {}
        self._lock = threading.Lock()

    def start(self, order: Order, listener: socket.socket) -> int:
        message = order.model_dump_json().encode()
        with self._lock:
            socket.send_fds(self._control, [message], [listener.fileno()])
            while (report := self._report())[0] != "started":
                pass
            return int(report[1])

    def status(self, pid: int) -> int:
        with self._lock:
            while pid not in self._statuses:
                self._report()
            return self._statuses[pid]

    def close(self) -> None:
        self._reports.close()
        self._control.close()
        self._process.wait(LONG_ENOUGH)

    def _report(self) -> list[str]:
        what, *facts = self._reports.readline().split()
        if what == "ended":
            pid, status = map(int, facts)
            self._statuses[pid] = status
        return [what, *facts]


class Served:
    """Something that serves a demonstration on a port, as alice sees it."""

    def __init__(self, port: int) -> None:
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": "Bearer token_alice"},
            timeout=LONG_ENOUGH,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
            verify=False,  # nothing here is encrypted, and loading certificates blocks
        )

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return a run as the history shows it."""
        response = await self.client.get(f"/history/{run_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def ended_run(self, run_id: str) -> dict[str, Any]:
        """Wait until a run is over, and return it."""
        await self.client.get(f"/history/{run_id}/stream")
        return await self.run(run_id)

    async def history(self) -> dict[str, dict[str, Any]]:
        """Return the whole history by run id, page by page."""
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        cursor = "run_" + "z" * 26
        while cursor:
            query = {"limit": "200", "cursor": cursor}
            page = (await self.client.get("/history/", params=query)).json()
            found |= {one["id"]: one for one in page["history"]}
            cursor = page["next_cursor"]
        return found


class ServerProcess(Served):
    """
    One database and one address, served by one process after the other.

    The tests hold the listening socket: who connects while no server runs waits for the
    next one.
    """

    def __init__(self, runner: Runner, folder: Path, **wanted: Any) -> None:
        settings = wanted.pop("settings", {})
        self.log = folder / f"log-{time.monotonic_ns()}"
        self.order = Order(
            settings={
                "database_url": f"sqlite:///{folder / 'acceptance.db'}",
                "demo": True,
                "shutdown_grace": 0.3,
                "flush_interval": 0.05,
                **settings,
            },
            log=str(self.log),
            **{"words": 5, "pause": 0.005, "is_free": True, "is_real": False, **wanted},
        )
        self.pid: int | None = None
        self._runner = runner
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        super().__init__(self._listener.getsockname()[1])

    async def start(self) -> None:
        self.pid = await asyncio.to_thread(
            self._runner.start, self.order, self._listener
        )

    def leave_socket(self) -> None:
        """Leave the listening socket to the server: it ends with it."""
        self._listener.close()

    def listen_again(self) -> None:
        """Listen on the same port, after `leave_socket`."""
        port = self.client.base_url.port
        self._listener = socket.create_server(("127.0.0.1", port or 0), backlog=512)

    async def stop(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End the process, and return its exit status."""
        assert self.pid is not None
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(self.pid, how)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until the process is over, and return its exit status."""
        assert self.pid is not None
        pid, self.pid = self.pid, None
        return await asyncio.to_thread(self._runner.status, pid)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def close(self) -> None:
        if self.pid is not None:
            await self.stop()
        await self.client.aclose()
        self._listener.close()
