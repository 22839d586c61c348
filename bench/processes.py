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
def process(
    module: str, port: int, *arguments: str, folder: str, is_quiet: bool = False
) -> Iterator[Running]:
    """Run a module, which is told its port first, once it listens."""
    command = [sys.executable, "-m", module, str(port), *arguments]
    began = time.perf_counter()
    with started(command, folder, {}, is_quiet=is_quiet) as child:
        while not _listens(port):
            if child.poll() is not None or time.perf_counter() > began + 30:
                raise SystemExit(f"{module} did not start")
            time.sleep(0.01)
        yield Running(child.pid, port, time.perf_counter() - began)


@contextmanager
def started(
    command: list[str],
    folder: str,
    environment: dict[str, str],
    *,
    is_quiet: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in `folder`, as if this one had been installed."""
    ours = {"PYTHONPATH": str(Path.cwd())} | environment
    output = subprocess.DEVNULL if is_quiet else None
    child = subprocess.Popen(
        command, cwd=folder, env=os.environ | ours, stdout=output, stderr=output
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


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
