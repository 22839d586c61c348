"""What no test may do, whatever it tests."""

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STARTING = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
"""What Python reports when a program or another process is started."""

OWN_ADDRESSES: set[str] = set()
"""Addresses that tests have given this machine, besides those of loopback."""

_started: list[str] | None = None
"""What a test has started that must not; `None` while any may."""


class OutsideConnection(Exception):
    """A test wanted to talk to another machine."""


class QuickTestStartedProgram(Exception):
    """A test that is not marked as slow wanted to start another process."""


def refuse_outside_connections() -> None:
    """
    Let this process connect to this machine only, from now on.

    Python sees its own sockets; what compiled code opens for itself it does not see.
    """
    sys.addaudithook(_refuse_outside)
    sys.addaudithook(_refuse_program)


@contextmanager
def refuse_programs(*, unless: bool) -> Iterator[None]:
    """
    Let this process start no other, so that quick tests stay quick.

    Args:
        unless: Whether it may, after all.

    Raises:
        QuickTestStartedProgram: It tried to, even if the attempt was caught.
    """
    global _started  # noqa: PLW0603 - an audit hook is the process's, too
    before, _started = _started, None if unless else []
    try:
        yield
        if _started:
            raise QuickTestStartedProgram(_started[0])
    finally:
        _started = before


def _refuse_program(event: str, args: tuple[Any, ...]) -> None:
    if _started is not None and event in STARTING:
        what = f"{event}({args[0]!r})" if args else event
        _started.append(
            f"A quick test started another process by {what}: mark it with "
            "`pytest.mark.slow`, and `make test` leaves it out."
        )
        raise QuickTestStartedProgram(_started[0])


def _refuse_outside(event: str, args: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"} and not _is_inside(args[1]):
        raise OutsideConnection(f"Tests stay on this machine: {args[1]!r}")


def _is_inside(address: Any) -> bool:
    if not isinstance(address, tuple) or address[0] in OWN_ADDRESSES:
        return True  # as is a Unix socket
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:  # a name
        return bool(address[0] == "localhost")
