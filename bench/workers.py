"""
Measure prompts with one worker and with two, on PostgreSQL, in one run.

    python -m bench.workers [--seconds 5] [--rounds 3]

It needs `wrk`. Workers, PostgreSQL, the load and a provider that answers at once share
all cores, so what each request costs of them is reported as well. PostgreSQL is started
as the tests do it, without fsync.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import make_url

from bench.processes import free_port, process
from llamakeep.storage import open_storage
from tests.postgres import new_database, running_postgres

CLIENTS = (1, 16, 64)
WORKERS = (1, 2)
PROMPT = '{"prompt": "What is FastAPI and why is it useful?"}'
REQUEST = """\
wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer token_alice"
"""


class Burst(NamedTuple):
    per_second: float
    p50: float
    p99: float
    server: float
    """Milliseconds of CPU for each request."""
    database: float
    failed: int


def cpu_seconds(pids: Sequence[int]) -> float:
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError):  # its parent's figure has it now
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def find(*arguments: str) -> str:
    return subprocess.run(
        ["pgrep", *arguments], capture_output=True, text=True, check=False
    ).stdout


def family(pid: int) -> list[int]:
    children = map(int, find("-P", str(pid)).split())
    return [pid, *(one for child in children for one in family(child))]


@contextmanager
def server(
    workers: int, database: str, provider: int, more: Mapping[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """Serve a demonstration, and yield its port and process."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "llamakeep", "serve", "--demo", "--port", "0"),
            *("--workers", str(workers), "--log-level", "error"),
        ],
        env=os.environ
        | {
            "LLAMAKEEP_DATABASE_URL": database,
            "LLAMAKEEP_LOCAL_MODEL": "none",
            "LLAMAKEEP_OPENAI_BASE_URL": f"http://127.0.0.1:{provider}/v1",
            "LLAMAKEEP_OPENAI_MODELS": '["bench"]',
        }
        | dict(more or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it tells of each client that leaves at the end
        text=True,
    ) as serving:
        assert serving.stdout is not None
        try:
            found = re.search(r":(\d+) ", serving.stdout.readline())
            assert found
            yield int(found[1]), serving.pid
        finally:
            serving.terminate()


def burst(port: int, pid: int, postmaster: int, script: str, **how: int) -> Burst:
    before = cpu_seconds(family(pid)), cpu_seconds(family(postmaster))
    said = subprocess.run(
        [
            *("wrk", "-t1", f"-c{how['clients']}", f"-d{how['seconds']}", "--latency"),
            *("-s", script, f"http://127.0.0.1:{port}/prompt/"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    after = cpu_seconds(family(pid)), cpu_seconds(family(postmaster))
    found = re.search(r"(\d+) requests in", said)
    assert found, said
    requests = int(found[1])
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    server_ms, database_ms = (
        1000 * (late - early) / requests
        for late, early in zip(after, before, strict=True)
    )
    return Burst(
        requests / how["seconds"],
        milliseconds(said, "50"),
        milliseconds(said, "99"),
        server_ms,
        database_ms,
        int(failed[1]) if failed else 0,
    )


def milliseconds(said: str, percent: str) -> float:
    found = re.search(rf"{percent}% +([\d.]+)(us|ms|s) *\n", said)
    assert found, said
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]


async def measure(arguments: argparse.Namespace, url: str, folder: str) -> None:
    port = make_url(url).port
    script = f"{folder}/prompt.lua"
    await asyncio.to_thread(Path(script).write_text, REQUEST.format(body=PROMPT))
    postmaster = int(await asyncio.to_thread(find, "-o", "-f", f"postgres .*-p {port}"))
    provider = free_port()
    found: dict[tuple[int, int], list[Burst]] = {}
    async with new_database(url) as one, new_database(url) as two:
        with ExitStack() as stack:
            stack.enter_context(process("bench.upstream", provider, folder=folder))
            servers = {}
            for workers, database in zip(WORKERS, (one, two), strict=True):
                async with open_storage(database, migrate=True):
                    pass
                servers[workers] = stack.enter_context(
                    server(workers, database, provider)
                )
            for port, pid in servers.values():  # warm up
                how = {"clients": 8, "seconds": 1}
                await asyncio.to_thread(burst, port, pid, postmaster, script, **how)
            for _ in range(arguments.rounds):
                for clients in CLIENTS:
                    for workers, (port, pid) in servers.items():
                        how = {"clients": clients, "seconds": arguments.seconds}
                        result = await asyncio.to_thread(
                            burst, port, pid, postmaster, script, **how
                        )
                        found.setdefault((clients, workers), []).append(result)
    report(found)


def report(found: dict[tuple[int, int], list[Burst]]) -> None:
    print(
        "| clients | workers | requests/s | p50 ms | p99 ms "
        "| CPU ms: workers | CPU ms: PostgreSQL |\n|---|---|---|---|---|---|---|"
    )
    for (clients, workers), bursts in found.items():
        middle = [statistics.median(values) for values in zip(*bursts, strict=True)]
        print(
            f"| {clients} | {workers} | {middle[0]:,.0f} | {middle[1]:.1f} "
            f"| {middle[2]:.1f} | {middle[3]:.2f} | {middle[4]:.2f} |"
        )
    failed = sum(each.failed for bursts in found.values() for each in bursts)
    print(f"\nRequests that failed: {failed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="for each burst")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with running_postgres() as url, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments, url, folder))


if __name__ == "__main__":
    main()
