"""`llamakeep serve` in a process of its own, on a database with many users."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from llamakeep.security.access_tokens import digest, new_access_token
from llamakeep.security.passwords import hash_password
from llamakeep.storage import open_storage

PASSWORD = "correct horse battery staple"
USERS = 400
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    access_token: str
    """Lets somebody in."""

    def memory(self) -> int:
        """Return how many bytes of memory it has now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def terminate(self) -> float:
        """Tell it to stop, and return how many seconds it took."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.perf_counter() - began


@contextmanager
def running() -> Iterator[Server]:
    """Serve with the settings that there are without any, until the context ends."""
    with tempfile.TemporaryDirectory() as folder:
        access_token = new_access_token()
        url = f"sqlite:///{folder}/llamakeep.db"
        asyncio.run(_add_users(url, access_token))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        ours = {
            "LLAMAKEEP_DATABASE_URL": url,
            "LLAMAKEEP_LOCAL_MODEL": "none",  # hostile clients get no answers
            "PYTHONPATH": str(Path.cwd()),
        }
        command = [sys.executable, "-m", "llamakeep", "serve", "--port", str(port)]
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | ours, stdout=subprocess.DEVNULL
        )
        try:
            _wait(process, port)
            yield Server(process, port, access_token)
        finally:
            process.kill()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(3000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.01)
        else:
            return
    raise SystemExit("the server did not start")


async def _add_users(url: str, access_token: str) -> None:
    password_hash = hash_password(PASSWORD)
    async with open_storage(url) as storage:
        users = await asyncio.gather(
            *(storage.add_user(f"user-{n}", password_hash) for n in range(USERS))
        )
        await storage.add_access_token(
            users[0], digest(access_token), lifetime=timedelta(days=1)
        )
