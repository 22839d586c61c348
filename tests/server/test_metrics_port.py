"""The port that has the metrics alone."""

import asyncio

import httpx2
import pytest

from llamakeep.settings import Settings
from tests.cli.serving import served
from tests.fakes import ScriptedProvider

httpx2.AsyncHTTPTransport(verify=False)  # the first one imports, which blocks


def new_client(origin: str) -> httpx2.AsyncClient:
    # Nothing here is encrypted, and loading certificates blocks.
    return httpx2.AsyncClient(base_url=origin, trust_env=False, verify=False)


async def test_the_metrics_have_a_port_without_a_login_and_nothing_else_is_there(
    settings: Settings,
) -> None:
    async with (
        served(settings, ScriptedProvider()) as server,
        new_client(server.url) as client,
        new_client(server.metrics_url) as scraper,
    ):
        found = await scraper.get("/metrics")
        head = await scraper.head("/metrics")
        others = [
            (await scraper.request(method, path)).status_code
            for method, path in (
                ("GET", "/"),
                ("GET", "/about"),
                ("GET", "/history/"),
                ("POST", "/login/"),
                ("POST", "/metrics"),
            )
        ]
        # The port counts, not what a client claims to have asked.
        elsewhere = {"Host": server.metrics_url.removeprefix("http://")}
        refused = await client.get("/metrics", headers=elsewhere)
        own = await client.get("/about")

    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "llamakeep_database_up 1\n" in found.text
    assert (head.status_code, head.content) == (200, b"")
    assert others == [404, 404, 404, 404, 405]
    assert refused.status_code == 401
    assert own.status_code == 200


@pytest.mark.slow
async def test_a_request_that_does_not_arrive_on_the_metrics_port_is_given_up(
    settings: Settings,
) -> None:
    impatient = settings.model_copy(update={"header_timeout": 0.05})
    async with served(impatient, ScriptedProvider()) as server:
        port = int(server.metrics_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
