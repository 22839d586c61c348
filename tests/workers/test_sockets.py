"""One address for several processes."""

import socket
import sys

import pytest

from llamakeep.workers.sockets import Sockets

DEALING_OUT = pytest.param(
    True,
    marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux deals out."),
)


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("deals_out", [DEALING_OUT, False])
def test_all_workers_have_the_same_address(deals_out: bool) -> None:
    listener = _listener()
    address = listener.getsockname()

    with Sockets(listener, deals_out=deals_out) as sockets:
        ours = [sockets.for_worker() for _ in range(3)]
        for each in ours:
            each.listen()

    assert {each.getsockname() for each in ours} == {address}
    with socket.create_connection(address):
        pass
    for each in ours:
        each.close()


@pytest.mark.parametrize("deals_out", [DEALING_OUT, False])
def test_nobody_else_gets_an_address_that_workers_have(deals_out: bool) -> None:
    listener = _listener()
    with (
        Sockets(listener, deals_out=deals_out) as sockets,
        sockets.for_worker() as ours,
    ):
        ours.listen()
        with pytest.raises(OSError, match="in use"):
            socket.create_server(ours.getsockname())


def test_a_socket_that_another_process_keeps_is_shared() -> None:
    with (
        _listener() as kept,
        Sockets(kept.dup(), is_kept=True) as sockets,
        sockets.for_worker() as worker,
        socket.create_connection(kept.getsockname()),
    ):
        accepted, _ = worker.accept()
        accepted.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux deals out.")
def test_connections_go_to_workers_that_are_ready_and_to_each_of_them() -> None:
    with Sockets(_listener(), deals_out=True) as sockets:
        *ready, starting = (sockets.for_worker() for _ in range(3))
        for each in ready:
            each.listen(64)
        clients = [socket.create_connection(starting.getsockname()) for _ in range(64)]
        accepted = [_accepted(each) for each in ready]
        for each in (*clients, *ready, starting):
            each.close()

    assert sum(accepted) == 64
    assert min(accepted) > 8


def _accepted(listener: socket.socket) -> int:
    """Accept all that wait, and return how many did."""
    listener.setblocking(False)
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
