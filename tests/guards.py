"""What no test may do, whatever it tests."""

import ipaddress
import sys
from typing import Any


class OutsideConnection(Exception):
    """A test wanted to talk to another machine."""


def refuse_outside_connections() -> None:
    """
    Let this process connect to loopback addresses only, from now on.

    Python sees its own sockets; what compiled code opens for itself it does not see.
    """
    sys.addaudithook(_refuse_outside)


def _refuse_outside(event: str, args: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"} and not _is_inside(args[1]):
        raise OutsideConnection(f"Tests stay on this machine: {args[1]!r}")


def _is_inside(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:  # a name
        return bool(address[0] == "localhost")
