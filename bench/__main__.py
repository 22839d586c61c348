"""
Measure prompts, by our door and by OpenAI's, beside a bare pass-through, in one run.

    python -m bench [--seconds 3] [--rounds 3]

One core serves, another one makes the load and plays the provider. Rounds are
interleaved, and medians are reported.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.cores import pin_to_load_core, run
from bench.load import Load, Target, load
from bench.server import PASSWORD, USERNAME

CLIENTS = (1, 16, 64)
PROMPT = json.dumps({"prompt": "What is FastAPI and why is it useful?"}).encode()
CHAT = json.dumps(
    {"model": "bench", "messages": [{"role": "user", "content": "What is FastAPI?"}]}
).encode()
LOGIN = json.dumps({"username": USERNAME, "password": PASSWORD}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(module: str, port: int, *arguments: str, folder: str) -> Iterator[float]:
    """Run a module until it listens; yield how many seconds that took."""
    command = [sys.executable, "-m", module, str(port), *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    began = time.perf_counter()
    running = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if running.poll() is not None or time.perf_counter() > began + 30:
                    raise SystemExit(f"{module} did not start") from None
                time.sleep(0.01)
        yield time.perf_counter() - began
    finally:
        running.terminate()
        running.wait(30)


def call(port: int, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


async def measure(arguments: argparse.Namespace, ours: int, bare: int) -> None:
    """Load both servers in turn, and print what came of it."""
    access_token = call(ours, "/login/", LOGIN)["token"]
    credentials = {"authorization": f"Bearer {access_token}"}
    targets = {
        "bare pass-through": Target(bare, "/prompt/", CHAT),
        "llamakeep /prompt/": Target(ours, "/prompt/", PROMPT, credentials),
        "llamakeep /v1": Target(ours, "/v1/chat/completions", CHAT, credentials),
    }
    found: dict[tuple[str, int], list[Load]] = {}
    commits: dict[int, list[float]] = {}
    for target in targets.values():  # warm up
        await load(target, clients=8, seconds=1)
    for _ in range(arguments.rounds):
        for clients in CLIENTS:
            for name, target in targets.items():
                before = call(ours, "/commits")
                result = await load(target, clients=clients, seconds=arguments.seconds)
                found.setdefault((name, clients), []).append(result)
                if target.port == ours:
                    made = call(ours, "/commits") - before
                    commits.setdefault(clients, []).append(made / result.requests)
    report(targets, found, commits)


def report(
    targets: dict[str, Target],
    found: dict[tuple[str, int], list[Load]],
    commits: dict[int, list[float]],
) -> None:
    bare = next(iter(targets))
    print("| clients | server | requests/s | ratio | p50 ms | p99 ms | added p50 ms |")
    print("|---|---|---|---|---|---|---|")
    for clients in CLIENTS:
        floor = statistics.median(x.per_second for x in found[bare, clients])
        fastest = statistics.median(x.percentile(0.5) for x in found[bare, clients])
        for name in targets:
            loads = found[name, clients]
            rate = statistics.median(x.per_second for x in loads)
            p50 = statistics.median(x.percentile(0.5) for x in loads)
            p99 = statistics.median(x.percentile(0.99) for x in loads)
            print(
                f"| {clients} | {name} | {rate:,.0f} | {rate / floor:.2f} | {p50:.2f} "
                f"| {p99:.2f} | {p50 - fastest:.2f} |"
            )
    for clients in CLIENTS:
        share = statistics.median(commits[clients])
        print(f"\nDurable commits per run with {clients} clients: {share:.3f}", end="")
    failures = sum(x.failures for loads in found.values() for x in loads)
    print(f"\n\nRequests that failed: {failures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="for each burst")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pin_to_load_core()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        upstream, ours, bare = free_port(), free_port(), free_port()
        base = f"http://127.0.0.1:{upstream}/v1"
        for module, port, more in (
            ("bench.upstream", upstream, ()),
            ("bench.passthrough", bare, (base,)),
            ("bench.server", ours, (base, f"{folder}/bench.db")),
        ):
            took = stack.enter_context(process(module, port, *more, folder=folder))
        print(
            f"Python {platform.python_version()}, {platform.machine()}, "
            f"{os.cpu_count()} cores, {arguments.rounds} rounds of "
            f"{arguments.seconds:g} s, medians; llamakeep listened after {took:.2f} s."
            "\n"
        )
        run(measure(arguments, ours, bare))


if __name__ == "__main__":
    main()
