"""A real Prometheus, set up as documented, and the tool that checks for it."""

import asyncio
import json
import re
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.debian import debian_program
from tests.waiting import LONG_ENOUGH

FILES = Path(__file__).parents[2] / "deploy" / "prometheus"
FROM_HERE = {"metrics_networks": ["127.0.0.0/8"]}
"""The setting of a server that lets it scrape."""


class Prometheus:
    """A Prometheus that scrapes every 200 ms."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}"
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            return (await client.get(url, params=query)).json()["data"]

    async def value(self, query: str) -> float | None:
        [*found] = (await self.ask("query", query=query))["result"]
        return float(found[0]["value"][1]) if found else None

    async def until(self, query: str, wanted: float) -> None:
        """Wait until a query has this value."""
        for _ in range(int(LONG_ENOUGH / 0.1)):
            if (found := await self.value(query)) == wanted:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{query} is {found}, not {wanted}")


@asynccontextmanager
async def scraping(port: int, folder: Path) -> AsyncIterator[Prometheus]:
    """Run a Prometheus as documented, but for the ports and the pace."""
    program = await asyncio.to_thread(debian_program, "prometheus")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        own = int(probe.getsockname()[1])

    def write() -> None:
        for file in FILES.glob("*.yml"):
            said = file.read_text("utf-8").replace(
                "127.0.0.1:8000", f"127.0.0.1:{port}"
            )
            (folder / file.name).write_text(
                re.sub(r"(?<=_interval: )15s", "200ms", said)
            )

    await asyncio.to_thread(write)
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    prometheus = Prometheus(own)
    try:
        async with asyncio.timeout(LONG_ENOUGH):
            while not await _is_there(prometheus):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        yield prometheus
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _is_there(prometheus: Prometheus) -> bool:
    try:
        return bool(await prometheus.ask("status/buildinfo"))
    except (httpx2.TransportError, json.JSONDecodeError):
        return False


async def check_by_promtool(metrics: bytes) -> None:
    """Let promtool check what was scraped, and test the rules that are shipped."""
    promtool = await asyncio.to_thread(debian_program, "promtool", package="prometheus")
    for arguments, given in (
        (("check", "metrics"), metrics),
        (("test", "rules", str(FILES / "llamakeep.rules.test.yml")), b""),
    ):
        checking = await asyncio.create_subprocess_exec(
            promtool, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        said = await checking.communicate(given)
        assert checking.returncode == 0, said
