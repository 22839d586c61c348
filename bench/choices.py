"""
Measure what llamakeep could be built on: HTTP clients, and what serves an application.

    python -m bench.choices [--requests 3000] [--rounds 3]

A client sends what a provider is sent, 64 at once, and reads an answer of 20 words that
comes in one piece, without and with TLS (which needs the command `openssl`). A server
answers an empty object from a FastAPI route to 64 clients. Only what is installed is
measured; `pyreqwest`, `niquests` and `granian` are not among the tests' packages. One
core each.
"""

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
from fastapi import FastAPI

from bench.cores import pin_to_load_core, pin_to_server_core, run
from bench.load import Target, load
from bench.processes import free_port, process, started
from bench.upstream import Connection, Provider
from bench.usage import cpu_seconds, family
from llamakeep.http import Client, tls

Send = Callable[[], Awaitable[object]]

AT_ONCE = 64
BODY = json.dumps(
    {
        "model": "bench",
        "messages": [{"role": "user", "content": "What is FastAPI?"}],
        "stream": True,
    }
).encode()
JSON = {"content-type": "application/json"}

app = FastAPI()
"""What servers serve."""


@app.post("/prompt/")
async def answer() -> dict[str, str]:
    """Answer nothing."""
    return {}


@asynccontextmanager
async def by_ours(url: str, certificate: Path | None) -> AsyncIterator[Send]:
    if certificate is not None:
        trusting = ssl.create_default_context(cafile=certificate)
        tls._known = trusting  # noqa: SLF001
    client = Client(url, connect_timeout=5, silence_timeout=100)
    body = json.loads(BODY)

    async def send() -> None:
        async with client.send("POST", "", json=body) as response:
            while await response.read() is not None:
                pass

    yield send
    await client.close()


@asynccontextmanager
async def by_pyreqwest(url: str, certificate: Path | None) -> AsyncIterator[Send]:
    pyreqwest: Any = importlib.import_module("pyreqwest.client")
    builder = pyreqwest.ClientBuilder().no_proxy()
    if certificate is not None:
        pem = certificate.read_bytes()  # noqa: ASYNC240 - nothing is measured yet
        builder = builder.add_root_certificate_pem(pem)
    async with builder.build() as client:

        async def send() -> None:
            request = client.post(url).headers(JSON).body_bytes(BODY)
            limited = request.streamed_read_buffer_limit(0)
            async with limited.build_streamed() as response:
                while await response.body_reader.read_chunk() is not None:
                    pass

        yield send


@asynccontextmanager
async def by_aiohttp(url: str, certificate: Path | None) -> AsyncIterator[Send]:
    context = ssl.create_default_context(cafile=certificate)
    connector = aiohttp.TCPConnector(limit=0, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send() -> None:
            async with session.post(url, data=BODY, headers=JSON) as response:
                async for _ in response.content.iter_any():
                    pass

        yield send


@asynccontextmanager
async def by_httpx2(url: str, certificate: Path | None) -> AsyncIterator[Send]:
    context = ssl.create_default_context(cafile=certificate)
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(verify=context, limits=limits) as client:

        async def send() -> None:
            request = client.stream("POST", url, content=BODY, headers=JSON)
            async with request as response:
                async for _ in response.aiter_raw():
                    pass

        yield send


@asynccontextmanager
async def by_niquests(url: str, certificate: Path | None) -> AsyncIterator[Send]:
    niquests: Any = importlib.import_module("niquests")
    async with niquests.AsyncSession(pool_maxsize=AT_ONCE) as session:
        session.trust_env = False
        session.verify = True if certificate is None else str(certificate)

        async def send() -> None:
            response = await session.post(url, data=BODY, headers=JSON, stream=True)
            async for _ in await response.iter_content(-1):
                pass

        yield send


CLIENTS = {
    "llamakeep": by_ours,
    "pyreqwest": by_pyreqwest,
    "aiohttp": by_aiohttp,
    "httpx2": by_httpx2,
    "niquests": by_niquests,
}
SERVERS = {
    "uvicorn": {
        "uvicorn, httptools": "uvicorn --http httptools --no-access-log",
        "uvicorn, h11": "uvicorn --http h11 --no-access-log",
    },
    "granian": {"granian": "granian --interface asgi --loop uvloop"},
}


def is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


async def cost(send: Send, requests: int) -> float:
    """Return the microseconds of CPU time, of this process, that a request takes."""

    async def some(number: int) -> None:
        for _ in range(number):
            await send()

    await asyncio.gather(*(some(5) for _ in range(AT_ONCE)))  # connections are made
    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(some(requests // AT_ONCE) for _ in range(AT_ONCE)))
    sent = requests // AT_ONCE * AT_ONCE
    return (time.process_time() - began) / sent * 1e6


async def compare_clients(
    plain: int, secure: int, certificate: Path, arguments: argparse.Namespace
) -> None:
    urls: dict[str, tuple[str, Path | None]] = {
        "without TLS": (f"http://localhost:{plain}/v1/chat/completions", None),
        "with TLS": (f"https://localhost:{secure}/v1/chat/completions", certificate),
    }
    found: dict[tuple[str, str], list[float]] = {}
    known = [name for name in CLIENTS if is_installed(name)]
    for _ in range(arguments.rounds):
        for name in known:
            for how, (url, trusted) in urls.items():
                async with CLIENTS[name](url, trusted) as send:
                    figure = await cost(send, arguments.requests)
                found.setdefault((name, how), []).append(figure)
    print(f"| CPU µs a request | {' | '.join(urls)} |\n|---|---|---|")
    for name in known:
        figures = [f"{statistics.median(found[name, how]):.0f}" for how in urls]
        print(f"| {name} | {' | '.join(figures)} |")


async def compare_servers(arguments: argparse.Namespace) -> None:
    there = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    print("\n| server | requests/s | p99 ms | CPU µs a request |\n|---|---|---|---|")
    for module, commands in SERVERS.items():
        if not is_installed(module):
            continue
        for name, command in commands.items():
            port = free_port()
            target = Target(port, "/prompt/", {})
            line = [*command.split(), "--port", str(port), "bench.choices:app"]
            with started(
                [sys.executable, "-m", *line], ".", there, is_quiet=True
            ) as one:
                pin_to_server_core(one.pid)
                await _until_it_listens(target)
                bursts = []
                for _ in range(arguments.rounds):
                    before = _spent(one.pid)
                    burst = await load(target, clients=AT_ONCE, seconds=2)
                    each = (_spent(one.pid) - before) / len(burst.latencies)
                    bursts.append((burst.per_second, burst.percentile(0.99), each))
            rate, p99, each = map(statistics.median, zip(*bursts, strict=True))
            print(f"| {name} | {rate:,.0f} | {p99:.1f} | {each * 1e6:.0f} |")


def _spent(pid: int) -> float:
    return sum(map(cpu_seconds, family(pid)))


async def _until_it_listens(target: Target) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await load(target, clients=1, seconds=0.1)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return


def serve_securely(port: int, folder: Path) -> None:
    """Be the provider, behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")

    async def serve() -> None:
        provider = Provider()
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(provider), "localhost", port, ssl=context, backlog=4096
        )
        await server.serve_forever()

    pin_to_load_core()
    run(serve())


def make_certificate(folder: Path) -> Path:
    """Make a certificate for this computer, which is of no use afterwards."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return folder / "certificate.pem"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000, help="in each burst")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    everything = os.sched_getaffinity(0)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        certificate = make_certificate(Path(folder))
        plain, secure = free_port(), free_port()
        stack.enter_context(process("bench.upstream", plain, folder=folder))
        stack.enter_context(process("bench.choices", secure, folder, folder=folder))
        pin_to_server_core()
        run(compare_clients(plain, secure, certificate, arguments))
        os.sched_setaffinity(0, everything)
        pin_to_load_core()
        run(compare_servers(arguments))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        serve_securely(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
