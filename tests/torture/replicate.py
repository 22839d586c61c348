"""Replicate's emulator in a process of its own, which outlives every server."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.processes import ROOT
from tests.waiting import LONG_ENOUGH

PACE = {"start_delay": 0.02, "first_delay": 0.05, "gap": 0.02, "page_size": 1000}
"""The emulator's settings: an answer of twenty words takes half a second."""
MANY = 1_000_000
LOST, KEPT = "lost", "kept"
"""Behind the site's word in a prompt: what becomes of the answer to its create."""


@contextmanager
def emulator_process(folder: Path, *, host: str = "127.0.0.1") -> Iterator[str]:
    """Run the emulator at an address of this machine, and yield where it is."""
    with socket.create_server((host, 0)) as probe:
        port = probe.getsockname()[1]
    settings = folder / "emulator.json"
    settings.write_text(json.dumps({"public_url": f"http://{host}:{port}"}))
    given = ["--host", host, "--port", f"{port}", "--settings", f"{settings}"]
    with (folder / "emulator.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "replicate_emulator", *given],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_listens(host, port)
        yield f"http://{host}:{port}"
    finally:
        process.kill()
        process.wait()


class Replicate:
    """
    The emulator, as one site uses it; others may use it at the same time.

    Args:
        url: Where it is.
        word: What is in every prompt of the site, and in no other.
    """

    def __init__(self, url: str, word: str) -> None:
        self.url = url
        self._word = word
        self._client = httpx2.AsyncClient(
            base_url=url, timeout=LONG_ENOUGH, trust_env=False, verify=False
        )

    async def lose_creates(self) -> None:
        """Carry creates of prompts that are to be lost out, and cut the connections."""
        await self._add_rule(
            f"{self._word} {LOST}", drop=True, creates=True, times=MANY
        )

    async def talk_slowly(self) -> None:
        """Let an answer take so long that it can still be canceled."""
        await self._add_rule(self._word, gap=0.1, times=None)

    async def keep_pace(self) -> None:
        """Make answers as fast as `PACE` says."""
        answer = await self._client.patch("/_emulator/settings", json=PACE)
        answer.raise_for_status()

    async def lost_creates(self) -> int:
        """Return how many creates' answers were lost."""
        answer = await self._client.get("/_emulator/rules")
        return sum(
            MANY - rule["times"]
            for rule in answer.json()
            if rule.get("match") == f"{self._word} {LOST}"
        )

    async def predictions(self) -> list[dict[str, Any]]:
        """Return all predictions of this site, oldest first."""
        query = {"prompt": self._word}
        answer = await self._client.get("/_emulator/predictions", params=query)
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found

    async def close(self) -> None:
        await self._client.aclose()

    async def _add_rule(self, match: str, **rule: Any) -> None:
        body = {"match": match, **rule}
        (await self._client.post("/_emulator/rules", json=body)).raise_for_status()


def _wait_until_it_listens(host: str, port: int) -> None:
    give_up = time.monotonic() + LONG_ENOUGH
    while True:
        try:
            socket.create_connection((host, port)).close()
        except OSError:
            assert time.monotonic() < give_up, "the emulator did not start"
            time.sleep(0.02)
        else:
            return
