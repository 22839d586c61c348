import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from blockbuster import BlockingError

from tests.guards import OutsideConnection, QuickTestStartedProgram, refuse_programs


def test_a_test_cannot_talk_to_another_machine() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
        pytest.raises(OutsideConnection, match=r"192\.0\.2\.1"),
    ):
        outside.connect(("192.0.2.1", 9))


def test_a_test_can_talk_to_this_machine() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


async def test_what_blocks_the_event_loop_fails() -> None:
    with pytest.raises(BlockingError):
        time.sleep(0)  # noqa: ASYNC251 - that is the point


def test_a_quick_test_cannot_start_a_program() -> None:
    with (
        pytest.raises(QuickTestStartedProgram, match=r"pytest\.mark\.slow"),
        refuse_programs(unless=False),
    ):
        subprocess.run([sys.executable, "--version"], check=False)


def test_a_quick_test_fails_even_if_it_catches_that() -> None:
    with (
        pytest.raises(QuickTestStartedProgram, match=r"pytest\.mark\.slow"),
        refuse_programs(unless=False),
        suppress(QuickTestStartedProgram),
    ):
        subprocess.run([sys.executable, "--version"], check=False)


@pytest.mark.slow
def test_a_slow_test_can_start_a_program() -> None:
    subprocess.run([sys.executable, "--version"], check=True, capture_output=True)
