"""What a service reports to systemd, and gets from it."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llamakeep.systemd import Manager

if sys.platform == "win32":
    pytest.skip("There are no such sockets.", allow_module_level=True)


class Systemd:
    """What it would read."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    async def read(self) -> str:
        read = await asyncio.get_running_loop().sock_recv(self.socket, 4096)
        return read.decode()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    found = Systemd(str(tmp_path / "notify"))
    yield found
    found.socket.close()


async def test_systemd_learns_when_a_service_is_ready_and_how_long_it_may_take_to_stop(
    systemd: Systemd,
) -> None:
    manager = Manager({"NOTIFY_SOCKET": systemd.socket.getsockname()})

    manager.ready()
    manager.stopping(20)

    assert await systemd.read() == "READY=1"
    assert await systemd.read() == "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000"


@pytest.mark.skipif(sys.platform != "linux", reason="It is a namespace of Linux.")
async def test_an_address_with_an_at_sign_is_abstract() -> None:
    name = f"llamakeep-test-{os.getpid()}"
    systemd = Systemd(f"\0{name}")

    Manager({"NOTIFY_SOCKET": f"@{name}"}).ready()

    assert await systemd.read() == "READY=1"
    systemd.socket.close()


async def test_a_watchdog_is_fed_twice_as_often_as_it_asks_for(
    systemd: Systemd,
) -> None:
    address = systemd.socket.getsockname()
    manager = Manager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000"})

    async with manager.watched():
        fed = [await systemd.read() for _ in range(3)]

    assert fed == ["WATCHDOG=1"] * 3


async def test_what_is_meant_for_another_process_does_not_count(
    systemd: Systemd,
) -> None:
    address = systemd.socket.getsockname()
    meant = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "WATCHDOG_PID": "1"}
    manager = Manager(meant | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})

    async with manager.watched():
        manager.ready()

    assert manager.sockets == 0
    assert await systemd.read() == "READY=1"


async def test_children_get_nothing_of_it() -> None:
    variables = {
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "a:b",
        "LISTEN_PID": str(os.getpid()),
        "NOTIFY_SOCKET": "/run/notify",
        "PATH": "/bin",
        "WATCHDOG_PID": str(os.getpid()),
        "WATCHDOG_USEC": "1000",
    }

    manager = Manager(variables)

    assert manager.sockets == 2
    assert variables == {"PATH": "/bin"}


async def test_without_systemd_nothing_is_reported() -> None:
    manager = Manager()

    async with manager.watched():
        manager.ready()
        manager.stopping(1)

    assert manager.sockets == 0
