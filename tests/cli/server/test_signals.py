"""What signals mean to `llamakeep serve`."""

import asyncio
import os
import pty
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.cli.conftest import ROOT, Process, started
from tests.providers.stub_server import Then, delta, head, running_stub
from tests.waiting import LONG_ENOUGH, until

SERVE = ("serve", "--port", "0", "--demo")
ALICE = {"Authorization": "Bearer token_alice"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="other signals there"),
]


@asynccontextmanager
async def serving(**variables: str) -> AsyncIterator[tuple[Process, str]]:
    """Serve as a service does: without a terminal."""
    async with started("serve", "--port", "0", "--demo", **variables) as process:
        line = await process.line()
        yield process, line.split()[3]


async def begin(origin: str) -> str:
    """Begin a run that does not end by itself."""
    body = {"prompt": "Hi", "background": True}
    async with httpx2.AsyncClient(base_url=origin, headers=ALICE) as client:
        run_id = str((await client.post("/prompt/", json=body)).json()["id"])
        async with asyncio.timeout(LONG_ENOUGH):
            while not (await client.get(f"/history/{run_id}")).json()["response"]:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.02)
        return run_id


async def stopping(origin: str) -> None:
    """Wait until a server has noticed that it is to stop."""
    async with httpx2.AsyncClient(base_url=origin) as client:

        async def is_stopping() -> bool:
            return "server-stopping" in (await client.get("/readyz")).text

        await until(is_stopping)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
async def test_two_signals_to_an_idle_server_are_an_orderly_end(number: int) -> None:
    async with serving() as (process, _):
        process.signal(number)
        await asyncio.sleep(0.05)
        process.signal(number)
        code, _, err = await process.ended()

    assert code == 0
    assert "Stopped before" not in err
    assert "Traceback" not in err


async def test_signals_all_through_the_end_change_nothing() -> None:
    async with serving() as (process, _):
        ended = asyncio.create_task(process.ended())
        while not ended.done():
            process.signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
        code, _, err = await ended

    assert code == 0, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
async def test_a_second_signal_does_not_wait_for_runs(number: int) -> None:
    async with (
        running_stub(head(), delta("Once "), Then.HANG) as stub,
        serving(
            LLAMAKEEP_OPENAI_BASE_URL=stub.base_url,
            LLAMAKEEP_DEFAULT_MODEL="openai:parrot",
            LLAMAKEEP_SHUTDOWN_GRACE="3600",
            LLAMAKEEP_FLUSH_INTERVAL="0.05",
        ) as (process, origin),
    ):
        await begin(origin)
        process.signal(number)
        await stopping(origin)
        process.signal(number)
        code, _, err = await process.ended()

    assert code == 1
    assert "Stopped before all runs had ended." in err


async def test_a_service_goes_on_at_signals_without_a_meaning() -> None:
    async with serving() as (process, origin):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            process.signal(number)
            await asyncio.sleep(0.1)
        async with httpx2.AsyncClient() as client:
            health = await client.get(f"{origin}/healthz")
        process.signal(signal.SIGTERM)
        code, _, _ = await process.ended()

    assert health.status_code == 200
    assert code == 0


def open_terminal(environment: dict[str, str]) -> tuple[int, int]:
    """Serve in a terminal of its own; return the process, and our end of that."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable, [sys.executable, "-m", "llamakeep", *SERVE], environment
        )
    return pid, terminal


def read_until(terminal: int, wanted: bytes) -> bytes:
    said = b""
    deadline = time.monotonic() + LONG_ENOUGH
    while wanted not in said:
        assert time.monotonic() < deadline, said
        said += os.read(terminal, 4096)
    return said


async def test_a_terminal_that_is_closed_ends_the_server_in_order() -> None:
    async with running_stub(head(), delta("Once "), Then.HANG) as stub:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "LLAMAKEEP_OPENAI_BASE_URL": stub.base_url,
            "LLAMAKEEP_DEFAULT_MODEL": "openai:parrot",
            "LLAMAKEEP_SHUTDOWN_GRACE": "1",
            "LLAMAKEEP_FLUSH_INTERVAL": "0.05",
            "TERM": "dumb",
        }
        pid, terminal = await asyncio.to_thread(open_terminal, environment)
        said = await asyncio.to_thread(read_until, terminal, b"/docs")
        origin = said.partition(b"documentation: ")[2].partition(b"/docs")[0].decode()
        await begin(origin)
        closed = time.monotonic()
        os.close(terminal)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        took = time.monotonic() - closed

    assert os.waitstatus_to_exitcode(status) == 0
    assert took >= 0.9  # the run had its grace
