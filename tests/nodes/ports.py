"""What a node listens on, served without the rest of a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from llamakeep.nodes.listening import Listening, listen
from llamakeep.server.connections import Bounds, close_overdue
from llamakeep.server.tls_port import TlsPort
from tests.waiting import until

BOUNDS = Bounds(header_size=8192, header_timeout=5, body_timeout=5, write_timeout=5)


@asynccontextmanager
async def tls_port(
    listening: Listening,
    app: ASGIApp,
    state: ServerState | None = None,
    bounds: Bounds = BOUNDS,
) -> AsyncIterator[ServerState]:
    """Serve `app` where nodes on other machines connect, and lend the connections."""
    assert listening.far is not None
    assert listening.tls is not None
    state = state or ServerState()
    port = TlsPort(listening.far, listening.tls, app, state, bounds)
    port.open()
    try:
        yield state
    finally:
        await port.close()
        close_overdue(state.connections, float("inf"))
        for each in [*state.connections]:
            each.transport.abort()
        await until(lambda: not state.connections)


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    """A node on another machine."""
    found = await asyncio.to_thread(
        listen, "node_1", here="there", at=("127.0.0.1", 0), most_ports=1
    )
    yield found
    found.close()
