"""`llamakeep serve` in a process of its own, on a database with many users."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from llamakeep.credentials.passwords import hash_password
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User
from llamakeep.storage import Storage, open_storage

PASSWORD = "correct horse battery staple"
USERS = 400
MEGABYTE = 1024 * 1024
LONG, LONG_RUNS = 16 * MEGABYTE, 4
WORDY, WORDY_RUNS = 99_600, 50
REFERENCES = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """Ids of runs that the attacker has."""

    long: Sequence[str]
    large: str
    many: Sequence[str]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    access_token: str
    """Lets the attacker in."""
    others_token: str
    """Lets in the user who waits meanwhile."""
    kept: Kept

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
def running(base_url: str, models: Sequence[str]) -> Iterator[Server]:
    """
    Serve with the settings that there are without any, until the context ends.

    Args:
        base_url: Where the only provider is.
        models: Its models.
    """
    with tempfile.TemporaryDirectory() as folder:
        access_token, others = new_access_token(), new_access_token()
        url = f"sqlite:///{folder}/llamakeep.db"
        kept = asyncio.run(_add_users(url, access_token, others))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        ours = {
            "LLAMAKEEP_DATABASE_URL": url,
            "LLAMAKEEP_LOCAL_MODEL": "none",
            "LLAMAKEEP_OPENAI_BASE_URL": base_url,
            "LLAMAKEEP_OPENAI_MODELS": ",".join(models),
            "PYTHONPATH": str(Path.cwd()),
        }
        command = [sys.executable, "-m", "llamakeep", "serve", "--port", str(port)]
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | ours, stdout=subprocess.DEVNULL
        )
        try:
            _wait(process, port)
            yield Server(process, port, access_token, others, kept)
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


async def _add_users(url: str, attackers: str, others: str) -> Kept:
    password_hash = hash_password(PASSWORD)
    async with open_storage(url) as storage:
        users = await asyncio.gather(
            *(storage.add_user(f"user-{n}", password_hash) for n in range(USERS))
        )
        # The one that others wait for has a history of their own.
        for user, token in ((users[0], attackers), (users[1], others)):
            await storage.add_access_token(
                user, digest(token), lifetime=timedelta(days=1)
            )
        return await _add_runs(storage, users[0])


async def _add_runs(storage: Storage, user: User) -> Kept:
    """Keep what hostile clients ask for."""
    long = [await storage.add(user, "Long?", "y" * LONG) for _ in range(LONG_RUNS)]
    words = "a " * (WORDY // 2) + "z"
    for _ in range(WORDY_RUNS):
        await storage.add(user, words, words)
    large = await storage.add(user, "y" * (MEGABYTE - 1024), "ok")
    many = [await storage.add(user, "y" * 10_000, "ok") for _ in range(REFERENCES)]
    return Kept([run.id for run in long], large.id, [run.id for run in many])
