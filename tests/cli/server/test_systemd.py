"""`llamakeep serve` as a service of systemd."""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import ROOT, Type
from tests.waiting import LONG_ENOUGH

if sys.platform == "win32":
    pytest.skip("There is no systemd.", allow_module_level=True)

# A service's own process id is known when it runs.
PASSED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.mark.slow
async def test_a_service_serves_on_the_socket_of_systemd_and_reports_its_state(
    tmp_path: Path,
) -> None:
    notify = tmp_path / "notify"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(str(notify))
        systemd.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PASSED, str(listener.fileno())),
            *("-m", "llamakeep", "serve", "--port", "1"),
            pass_fds=[listener.fileno()],
            stdout=asyncio.subprocess.PIPE,
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "NOTIFY_SOCKET": str(notify),
                "WATCHDOG_USEC": "100000",
                "LLAMAKEEP_SHUTDOWN_GRACE": "20",
            },
        )
        reported: set[str] = set()
        while reported < {"READY=1", "WATCHDOG=1"}:
            reported.add(await _report(systemd))
        port = listener.getsockname()[1]
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            healthy = await client.get(f"http://127.0.0.1:{port}/healthz")
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in (last := await _report(systemd)):
            pass
        out, _ = await process.communicate()
        _, waiting = await asyncio.open_connection("127.0.0.1", port)
        waiting.close()

    assert reported == {"READY=1", "WATCHDOG=1"}
    assert healthy.status_code == 200
    assert re.match(rf"llamakeep serves on http://127\.0\.0\.1:{port} ", out.decode())
    assert last == "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000"
    assert process.returncode == 0


def test_more_than_one_socket_is_a_plain_message(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr("llamakeep.systemd.FIRST", os.dup(listener.fileno()))
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "2")

        served = typed("serve")

    assert served.exit_code == 2
    assert "exactly one is needed" in served.stderr


async def _report(systemd: socket.socket) -> str:
    async with asyncio.timeout(LONG_ENOUGH):
        loop = asyncio.get_running_loop()
        return (await loop.sock_recv(systemd, 4096)).decode()
