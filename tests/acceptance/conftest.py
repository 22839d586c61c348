"""Real processes, real sockets."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.acceptance.processes import Runner, ServerProcess

if sys.platform == "win32":
    pytest.skip("The runner forks.", allow_module_level=True)

NewServer = Callable[..., ServerProcess]


@pytest.fixture
async def new_server(runner: Runner, tmp_path: Path) -> AsyncIterator[NewServer]:
    """Makes servers on this test's database; they end with the test."""
    async with AsyncExitStack() as stack:

        def new(**wanted: object) -> ServerProcess:
            server = ServerProcess(runner, tmp_path, **wanted)
            stack.push_async_callback(server.close)
            return server

        yield new
