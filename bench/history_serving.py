"""
Measure what a long history does to a server and to the others who use it.

    python -m bench.history_serving FILE [--seconds 20]

FILE is a SQLite database of `python -m bench.history --database sqlite:///FILE`; a copy
is served. Exports come first, in all formats, with the server's memory; then another
user's prompts and pages, one after the other, while nothing else happens, while a tenth
of all runs is too old and swept away, and while as many are deleted with their user.
"""

import argparse
import asyncio
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.processes import free_port, process
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import Actor, User, UserRole
from llamakeep.storage import open_storage

FORMATS = ("ndjson", "csv", "markdown")
LOOK = 0.02
"""Seconds between two looks at the memory."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server, and those who ask it."""

    pid: int
    port: int
    users: dict[str, User]
    access_tokens: dict[str, str]

    def memory(self) -> float:
        """Return how many MB it has."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=1800)

    def headers(self, who: str) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.access_tokens[who]}",
            "content-type": "application/json",
        }


async def prepare(
    url: str, retention_days: int | None
) -> tuple[dict[str, User], dict[str, str]]:
    """Let the largest user, another one and an administrator in."""
    async with open_storage(url) as storage:
        largest, another = sorted(await storage.list_users(), key=lambda u: u.id)[:2]
        admin = await storage.add_user("admin", "unused", role=UserRole.ADMIN)
        users = {"largest": largest, "another": another, "admin": admin}
        await storage.set_retention(largest.id, retention_days, actor=Actor())
        access_tokens = {}
        for name, user in users.items():
            access_tokens[name] = new_access_token()
            await storage.add_access_token(
                user, digest(access_tokens[name]), lifetime=timedelta(days=1)
            )
        while await storage.index_finished():
            pass
    return users, access_tokens


@contextmanager
def serving(file: Path, retention_days: int | None = None) -> Iterator[Served]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=file.parent))
        copy = Path(folder) / "history.db"
        shutil.copyfile(file, copy)
        url = f"sqlite:///{copy}"
        users, access_tokens = asyncio.run(prepare(url, retention_days))
        upstream, port = free_port(), free_port()
        stack.enter_context(process("bench.upstream", upstream, folder=folder))
        ours = {
            "LLAMAKEEP_DATABASE_URL": url,
            "LLAMAKEEP_OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            "LLAMAKEEP_OPENAI_MODELS": '["bench"]',
            "LLAMAKEEP_LOCAL_MODEL": "none",
            "PYTHONPATH": str(Path.cwd()),
        }
        command = [sys.executable, "-m", "llamakeep", "serve", "--port", str(port)]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                command, cwd=folder, env=os.environ | ours, stdout=log, stderr=log
            )
        try:
            served = Served(server.pid, port, users, access_tokens)
            wait(served)
            yield served
        finally:
            server.terminate()
            server.wait(60)


def wait(served: Served) -> None:
    for _ in range(3000):
        connection = served.connect()
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)
    raise SystemExit("the server did not start")


def export(served: Served, kind: str) -> None:
    connection = served.connect()
    before, most, size = served.memory(), 0.0, 0
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(LOOK):
            most = max(most, served.memory())

    looking = threading.Thread(target=look)
    looking.start()
    begin = time.perf_counter()
    path = f"/history/export?format={kind}"
    connection.request("GET", path, headers=served.headers("largest"))
    answer = connection.getresponse()
    assert answer.status == http.client.OK
    while piece := answer.read(65536):
        size += len(piece)
    took = time.perf_counter() - begin
    over.set()
    looking.join()
    connection.close()
    print(
        f"| export, {kind} | {size / 1e6:.0f} MB in {took:.0f} s | "
        f"{before:.0f} MB | {most:.0f} MB |"
    )


def ask(served: Served, name: str, is_over: Callable[[], bool]) -> None:
    """Ask and look at the history in turns, and print how long both took."""
    connection = served.connect()
    headers = served.headers("another")
    times: dict[str, list[float]] = {"prompts": [], "pages": []}
    while not is_over():
        for kind, (method, path, body) in {
            "prompts": ("POST", "/prompt/", json.dumps({"prompt": "Why?"})),
            "pages": ("GET", "/history/", None),
        }.items():
            begin = time.perf_counter()
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            times[kind].append((time.perf_counter() - begin) * 1000)
            assert answer.status == http.client.OK
    connection.close()
    for kind, each in times.items():
        cuts = statistics.quantiles(each, n=100)
        print(f"| {name} | {kind} | {len(each)} | {cuts[49]:.1f} | {cuts[98]:.1f} |")


def has_passed(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def count(served: Served) -> int:
    """Return how many runs the largest user has."""
    connection = served.connect()
    connection.request(
        "GET", "/history/stats?by=model", headers=served.headers("largest")
    )
    found = json.loads(connection.getresponse().read())
    connection.close()
    return sum(group["runs"] for group in found["stats"])


def delete_user(served: Served) -> None:
    connection = served.connect()
    path = f"/admin/users/{served.users['largest'].id}"
    connection.request("DELETE", path, headers=served.headers("admin"))
    answer = connection.getresponse()
    assert answer.status in {http.client.NO_CONTENT, http.client.ACCEPTED}
    answer.read()
    while newest_event(served) != "user.purged":
        time.sleep(0.5)
    connection.close()


def newest_event(served: Served) -> str:
    connection = served.connect()
    connection.request("GET", "/admin/audit?limit=1", headers=served.headers("admin"))
    found = json.loads(connection.getresponse().read())
    connection.close()
    return str(found["events"][0]["kind"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    chosen = parser.parse_args()
    file = chosen.file.absolute()
    with serving(file) as served:
        print("| what | file | memory before | at most |\n|---|---|---|---|")
        for kind in FORMATS:
            export(served, kind)
        print("\n| while | what | how many | p50 ms | p99 ms |\n|---|---|---|---|---|")
        ask(served, "nothing else", has_passed(2))
        ask(served, "nothing else", has_passed(chosen.seconds))
        deleting = threading.Thread(target=delete_user, args=(served,))
        began = time.perf_counter()
        deleting.start()
        ask(served, "a user is deleted", lambda: not deleting.is_alive())
        print(f"\nThe user was deleted in {time.perf_counter() - began:.0f} s.")
    with serving(file, retention_days=1) as served:
        ask(served, "old runs are swept away", has_passed(chosen.seconds))
        print(f"\n{count(served)} of those were left then.")


if __name__ == "__main__":
    main()
