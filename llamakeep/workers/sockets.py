"""
Listening sockets with one address for several processes.

On Linux each worker has its own socket (`SO_REUSEPORT`), and the kernel distributes
connections evenly. With one socket for all, the first worker to wake up takes all
waiting connections: of 8 simultaneous clients, often all (measured: docs/adr/0012).
Other kernels do not distribute connections, so workers share one socket there.
"""

import socket
import sys
from contextlib import AbstractContextManager

BACKLOG = 2048

DEALS_OUT = sys.platform == "linux"
"""Whether the kernel distributes connections among sockets with one address."""


class Sockets(AbstractContextManager["Sockets"]):
    """
    Creates the sockets on which workers listen.

    It owns the listener. If it `deals_out`, each worker gets its own socket. A listener
    that another process keeps, such as systemd, `is_kept`: all workers share it.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        deals_out: bool = DEALS_OUT,
        is_kept: bool = False,
    ) -> None:
        self.is_kept = is_kept
        self._deals_out = deals_out = deals_out and not is_kept
        self._address = listener.getsockname()
        self._family = listener.family
        if deals_out:
            # With `SO_REUSEPORT` from the beginning, a second server of the same user
            # could have taken the same port, and half of the connections.
            listener.close()
            listener = self._bound()
        self._listener = listener

    def for_worker(self) -> socket.socket:
        """
        Return a socket for a worker; the caller closes it when the worker has it.

        On Linux it is only bound: it gets no connections before the worker is ready and
        listens.
        """
        return self._bound() if self._deals_out else self._listener.dup()

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._listener.close()

    def _bound(self) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self._family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(self._address)
        return bound
