"""
One address for several processes.

On Linux each worker listens by itself and the kernel deals connections out evenly, also
to workers that are busy. With one socket for all, whoever wakes up first takes whatever
waits: of 8 clients that came together, often all (measured: docs/adr/0012). Elsewhere
that is what there is, since no other kernel deals out.
"""

import socket
import sys
from contextlib import AbstractContextManager

BACKLOG = 2048

DEALS_OUT = sys.platform == "linux"
"""Whether the kernel shares out connections between sockets with one address."""


class Sockets(AbstractContextManager["Sockets"]):
    """
    Hands out listening sockets.

    Args:
        listener: Listens; it is taken over, and shows the address.
        deals_out: Whether each worker gets a socket of its own.
    """

    def __init__(self, listener: socket.socket, *, deals_out: bool = DEALS_OUT) -> None:
        self._deals_out = deals_out
        self._address = listener.getsockname()
        self._family = listener.family
        if deals_out:
            # Had it been allowed from the beginning, a second server of the same user
            # could have taken the same port, and half of the connections.
            listener.close()
            listener = self._bound()
        self._listener = listener

    def for_worker(self) -> socket.socket:
        """
        Return what a worker listens on, to be closed when the worker has it.

        A socket of its own listens when the worker is ready: until then, connections
        go to the other ones.
        """
        return self._bound() if self._deals_out else self._listener.dup()

    def __exit__(self, *_: object) -> None:
        """Let go of the address."""
        self._listener.close()

    def _bound(self) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self._family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(self._address)
        return bound
