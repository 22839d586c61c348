"""`llamakeep serve --workers`: several processes at one address, as one server."""

import asyncio
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.processes import ROOT, Served, ServerProcess, outside_variables
from tests.acceptance.runner import Order
from tests.waiting import LONG_ENOUGH, until

WORKERS = 2


class WorkersProcess(ServerProcess):
    """
    One address, served by a parent and its workers, and then by the next ones.

    Args:
        folder: For its log.
        settings: Settings by their names.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        Served.__init__(self, self._port)
        self.log = folder / f"log-{time.monotonic_ns()}"
        self.order = Order(
            settings=settings,
            log=str(self.log),
            words=0,
            pause=0,
            is_free=True,
            is_real=True,
        )
        self.pid: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._folder = folder

    async def start(self) -> None:
        """Start it, and wait until it serves: its socket is its own."""
        assert not self.order.crash_at, "a parent holds no runs"
        variables = {
            f"LLAMAKEEP_{name}".upper(): f"{value}"
            for name, value in self.order.settings.items()
        }
        log = await asyncio.to_thread(self.log.open, "ab")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llamakeep", "serve", "--demo"),
            *("--workers", f"{WORKERS}", "--port", f"{self._port}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=outside_variables() | {"PYTHONPATH": str(ROOT)} | variables,
            cwd=self._folder,
        )
        log.close()
        self.pid = self._process.pid
        await until(self._serves, within=2 * LONG_ENOUGH)

    async def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, f"it ended by itself, see {self.log}"
        try:
            return (await self.client.get("/healthz")).is_success
        except httpx2.TransportError:
            return False

    async def stop(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End it and its workers, and return its exit status."""
        assert self._process is not None
        self._process.send_signal(how)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it is over, and return its exit status."""
        assert self._process is not None
        process, self._process, self.pid = self._process, None, None
        return await process.wait()

    async def close(self) -> None:
        if self._process is not None:
            await self.stop(signal.SIGTERM)
        await self.client.aclose()
