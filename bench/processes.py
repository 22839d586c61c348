"""Processes that are measured: to start them, and to ask them something."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens."""

    pid: int
    port: int
    seconds: float
    """How long it took until it listened."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(module: str, port: int, *arguments: str, folder: str) -> Iterator[Running]:
    """Run a module, which is told its port first, once it listens."""
    command = [sys.executable, "-m", module, str(port), *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    began = time.perf_counter()
    started = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if started.poll() is not None or time.perf_counter() > began + 30:
                    raise SystemExit(f"{module} did not start") from None
                time.sleep(0.01)
        yield Running(started.pid, port, time.perf_counter() - began)
    finally:
        started.terminate()
        started.wait(30)


def call(port: int, path: str, body: Any = None, **headers: str) -> Any:
    """Ask for JSON; with a `body`, post it."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        sent,
        {"content-type": "application/json", **headers},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
