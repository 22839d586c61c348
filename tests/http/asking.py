"""How these tests ask a server that says any bytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llamakeep.http import Client, Response
from tests.providers.stub_server import Line, StubServer, running_stub, whole

OK = whole(200, {})


@asynccontextmanager
async def client_of(
    base_url: str, *, connect_timeout: float = 5, silence_timeout: float = 5
) -> AsyncIterator[Client]:
    client = Client(
        base_url, connect_timeout=connect_timeout, silence_timeout=silence_timeout
    )
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def serving(
    *script: Line, silence_timeout: float = 5
) -> AsyncIterator[tuple[StubServer, Client]]:
    async with (
        running_stub(*script) as stub,
        client_of(stub.base_url, silence_timeout=silence_timeout) as client,
    ):
        yield stub, client


async def body_of(response: Response) -> bytes:
    pieces = []
    while (piece := await response.read()) is not None:
        assert piece, "an empty piece says nothing"
        pieces.append(piece)
    return b"".join(pieces)


async def ask(client: Client, path: str = "/") -> bytes:
    async with client.send("GET", path) as response:
        return await body_of(response)
