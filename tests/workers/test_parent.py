"""What a parent needs, and what it does where no kernel deals out connections."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llamakeep.errors import WorkerFailed
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from llamakeep.workers.child import Greeting, describe_exit
from llamakeep.workers.parent import Parent
from llamakeep.workers.sockets import Sockets
from tests.waiting import LONG_ENOUGH

httpx2.AsyncHTTPTransport()  # the first one imports, which blocks
HEAVY = {"fastapi", "httptools", "sqlalchemy", "starlette", "uvicorn"}

if sys.platform == "win32":
    pytest.skip("There is one process there.", allow_module_level=True)


@pytest.mark.slow
def test_a_parent_imports_nothing_of_the_server() -> None:
    code = "import llamakeep.workers.parent, sys; print(*sys.modules, sep='\\n')"

    imported = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert "llamakeep.providers.local.process" in imported.splitlines()
    assert HEAVY.isdisjoint(imported.splitlines())


async def test_workers_may_share_one_socket(
    settings: Settings, postgres_url: str, tmp_path: Path
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    wanted: dict[str, Any] = {"workers": 2, "database_url": postgres_url, "demo": True}
    wanted["local_model"] = tmp_path / "missing.gguf"
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    greetings: list[Greeting] = []
    ready = asyncio.Event()

    def when_ready(greeting: Greeting, _: str | None) -> None:
        greetings.append(greeting)
        ready.set()

    with Sockets(listener, deals_out=False) as sockets:
        parent = Parent(settings.model_copy(update=wanted), sockets, when_ready)
        serving = asyncio.create_task(parent.run())
        async with asyncio.timeout(LONG_ENOUGH):
            await ready.wait()
        async with httpx2.AsyncClient(
            trust_env=False, verify=False, timeout=LONG_ENOUGH
        ) as client:
            healthy = await client.get(f"{origin}/readyz")
        os.kill(os.getpid(), signal.SIGTERM)
        is_orderly = await serving

    assert healthy.json() == {"status": "ready"}
    assert [greeting.offers_setup for greeting in greetings] == [False]
    assert is_orderly


@pytest.mark.slow
async def test_a_worker_that_dies_before_it_can_serve_ends_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"workers": 2, "database_url": "postgresql://127.0.0.1:1/nothing"}
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # where Python itself cannot start
    with Sockets(socket.create_server(("127.0.0.1", 0))) as sockets:
        parent = Parent(settings.model_copy(update=wanted), sockets, lambda *_: None)

        with pytest.raises(WorkerFailed, match="ended with status 1, so nothing"):
            await parent.run()


@pytest.mark.slow
async def test_workers_that_fail_at_the_same_time_are_reported_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"workers": 2, "database_url": "postgresql://127.0.0.1:1/nothing"}
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Sockets(socket.create_server(("127.0.0.1", 0))) as sockets:
        parent = Parent(settings.model_copy(update=wanted), sockets, lambda *_: None)

        with pytest.raises(WorkerFailed, match="could not be started") as caught:
            await parent.run()

    del caught
    gc.collect()  # only then does asyncio report what nothing has asked for


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"),
        (-9, "was ended by SIGKILL"),
        (-200, "was ended by signal 200"),
    ],
)
def test_how_a_worker_ended_is_said_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words
