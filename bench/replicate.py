"""
Measure how late words and answers are that come from Replicate, end to end.

    python -m bench.replicate [--short]

The emulator, the server and the client are processes of their own on this machine,
whose monotonic clock all of them share. The last plain answer takes 70 seconds, ten
more than Replicate waits; `--short` leaves it out.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import aiohttp

from bench.processes import free_port

WORDS = " ".join(["word"] * 100)
PLAIN = (0.2, 1.2, 5.0, 70.0)
MODULE = [sys.executable, "-m", "llamakeep"]


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


class Measuring:
    """One client of the server, which also looks behind the emulator."""

    def __init__(
        self, http: aiohttp.ClientSession, server: str, replicate: str
    ) -> None:
        self._http = http
        self._server = server
        self._replicate = replicate

    async def wait(self) -> None:
        for url in (f"{self._server}/readyz", f"{self._replicate}/_emulator/settings"):
            while True:
                try:
                    async with self._http.get(url) as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def rule(self, **rule: Any) -> None:
        async with self._http.post(f"{self._replicate}/_emulator/rules", json=rule):
            pass

    async def behind(self, what: str) -> Any:
        async with self._http.get(f"{self._replicate}/_emulator/{what}") as answer:
            return await answer.json()

    async def upstream_requests(self) -> int:
        counts = await self.behind("requests")
        return sum(count for kind, count in counts.items() if kind != "models")

    async def newest(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = (await self.behind("predictions"))["predictions"]
        return max(found, key=lambda each: each["monotonic"]["created"])

    def prompt(self, **body: Any) -> Any:
        return self._http.post(f"{self._server}/prompt/", json=body)

    async def streamed(self) -> None:
        """Print how late the words of a stream are."""
        before = await self.upstream_requests()
        await self.rule(gap=0.02)
        arrived: list[float] = []
        async with self.prompt(prompt=WORDS, stream=True) as answer:
            async for line in answer.content:
                if line.startswith(b'data: {"text"'):
                    words = json.loads(line[6:])["text"].count("word")
                    arrived += [time.monotonic()] * words
        requests = await self.upstream_requests() - before
        said = (await self.newest())["monotonic"]["emitted"]
        lags = [
            (here - there) * 1000 for here, there in zip(arrived, said, strict=True)
        ]
        print(
            f"| words of a stream ({len(lags)}, 20 ms apart) "
            f"| {statistics.median(lags):.1f} (at most {max(lags):.1f}) | {requests} |"
        )

    async def plain(self, seconds: float) -> None:
        """Print how late a plain answer is that takes so long."""
        before = await self.upstream_requests()
        await self.rule(first_delay=seconds)
        async with self.prompt(prompt="word") as answer:
            assert (await answer.json())["response"] == "word"
            now = time.monotonic()
        requests = await self.upstream_requests() - before
        late = (now - (await self.newest())["monotonic"]["completed"]) * 1000
        print(f"| a plain answer after {seconds:g} s | {late:.1f} | {requests} |")


async def measure(server: str, replicate: str, durations: tuple[float, ...]) -> None:
    headers = {"Authorization": "Bearer token_alice"}
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        measuring = Measuring(http, server, replicate)
        await measuring.wait()
        async with measuring.prompt(prompt="warm up") as answer:
            assert json.loads(await answer.read())["response"] == "warm up"
        print("| what | ms late | requests to Replicate |\n|---|---|---|")
        await measuring.streamed()
        for seconds in durations:
            await measuring.plain(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    ours, upstream = free_port(), free_port()
    server, replicate = f"http://127.0.0.1:{ours}", f"http://127.0.0.1:{upstream}"
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(running([*MODULE, "replicate-emulator"], upstream))
        stack.enter_context(
            running(
                [*MODULE, "serve", "--demo"],
                ours,
                REPLICATE_API_TOKEN="r8_emulated",
                LLAMAKEEP_REPLICATE_BASE_URL=replicate,
                LLAMAKEEP_DATABASE_URL=f"sqlite:///{folder}/bench.db",
                LLAMAKEEP_LOCAL_MODEL="none",
            )
        )
        durations = PLAIN[:-1] if arguments.short else PLAIN
        asyncio.run(measure(server, replicate, durations))


if __name__ == "__main__":
    main()
