"""A real Prometheus, set up as documented, scrapes a server that answers prompts."""

import asyncio
from pathlib import Path

from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.acceptance.prometheus import FROM_HERE, check_by_promtool, scraping

PROMPT = {"prompt": "Hi"}


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
    await check_by_promtool(text)
