"""Files that take longer to arrive than anything else may."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llamakeep.domain import new_id
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.api.doors import IMPORTED
from tests.waiting import LONG_ENOUGH

BODY_TIMEOUT = 2.0


@pytest.fixture
async def server(new_server: NewServer) -> ServerProcess:
    server = new_server(settings={"body_timeout": BODY_TIMEOUT})
    await server.start()
    return server


def line() -> bytes:
    rest = new_id("run_")[-16:]
    return IMPORTED.replace("0000000000000000", rest).encode() + b"\n"


async def test_a_file_that_keeps_coming_is_imported_however_long_it_takes(
    server: ServerProcess,
) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield line()
            await asyncio.sleep(BODY_TIMEOUT / 4)

    response = await server.client.post("/history/import", content=slowly())

    assert response.json() == {"imported": 6, "known": 0}


async def test_a_file_that_stops_coming_is_given_up(server: ServerProcess) -> None:
    url = server.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /history/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        b"Authorization: Bearer token_alice\r\n\r\n" + line()
    )

    async with asyncio.timeout(LONG_ENOUGH):
        answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert await server.history() == {}
