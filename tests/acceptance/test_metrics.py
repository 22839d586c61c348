"""A real Prometheus, set up as documented, scrapes a server that answers prompts."""

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

from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.debian import debian_program
from tests.waiting import LONG_ENOUGH

FILES = Path(__file__).parents[2] / "deploy" / "prometheus"
PROMPT = {"prompt": "Hi"}
FROM_HERE = {"metrics_networks": ["127.0.0.0/8"]}


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


async def load(server: ServerProcess, prompts: int) -> None:
    """Send prompts in several ways, and what is refused in between."""
    for number in range(prompts):
        body = PROMPT | {"stream": number % 2 == 0}
        assert (await server.client.post("/prompt/", json=body)).status_code == 200
        await server.client.get(f"/history/run_{number}")
        await server.client.request("PROPFIND", f"/nowhere/{number}")


async def test_prometheus_scrapes_a_server_under_load(
    new_server: NewServer, tmp_path: Path
) -> None:
    server = new_server(settings=FROM_HERE)
    await server.start()
    port = server.client.base_url.port
    assert port is not None
    async with scraping(port, tmp_path) as prometheus:
        async with asyncio.TaskGroup() as clients:
            for _ in range(4):
                clients.create_task(load(server, 10))
        await prometheus.until('sum(llamakeep_runs_total{status="succeeded"})', 40)
        requests = "sum(http_server_request_duration_seconds_count{%s})"
        of_prompts = 'http_route="/prompt/",http_response_status_code="200"'
        await prometheus.until(requests % of_prompts, 40)
        missing = 'http_route="/history/{run_id}",http_response_status_code="404"'
        await prometheus.until(requests % missing, 40)
        strange = 'http_request_method="_OTHER"'
        await prometheus.until(requests % strange, 40)
        groups = (await prometheus.ask("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        text = (await server.client.get("/metrics")).content

    assert len(rules) > 10
    assert "err" not in {rule["health"] for rule in rules}
    promtool = await asyncio.to_thread(debian_program, "promtool", package="prometheus")
    for arguments, given in (
        (("check", "metrics"), text),
        (("test", "rules", str(FILES / "llamakeep.rules.test.yml")), b""),
    ):
        checking = await asyncio.create_subprocess_exec(
            promtool, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        said = await checking.communicate(given)
        assert checking.returncode == 0, said
