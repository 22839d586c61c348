"""What systemd passes to a service that it starts, and what the service reports."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress

FIRST = 3
"""The file descriptor of the first socket that is passed."""

LAST_SECONDS = 15
"""Seconds that a stop may take beyond what the settings allow."""


class Manager:
    """
    The service manager of this process; without one, nothing is reported.

    It takes its variables out of the environment, since child processes would report
    for themselves. See sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3).
    """

    def __init__(self, variables: MutableMapping[str, str] | None = None) -> None:
        variables = {} if variables is None else variables
        own = ("", str(os.getpid()))
        listens = variables.pop("LISTEN_PID", "") == own[1]
        is_watched = variables.pop("WATCHDOG_PID", "") in own
        count = variables.pop("LISTEN_FDS", "0")
        timeout = variables.pop("WATCHDOG_USEC", "0")
        variables.pop("LISTEN_FDNAMES", None)
        self._address = variables.pop("NOTIFY_SOCKET", "")
        self.sockets = int(count) if listens else 0
        """How many listening sockets were passed."""
        self._interval = int(timeout) / 2e6 if is_watched else 0

    def listener(self) -> socket.socket:
        """Return the first socket that was passed; the caller closes it."""
        assert self.sockets
        os.set_inheritable(FIRST, False)
        return socket.socket(fileno=FIRST)

    def ready(self) -> None:
        """Report that the service serves."""
        self._report("READY=1")

    def stopping(self, seconds: float) -> None:
        """Report that the service stops, and within how many seconds at most."""
        timeout = int((seconds + LAST_SECONDS) * 1e6)
        self._report("STOPPING=1", f"EXTEND_TIMEOUT_USEC={timeout}")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Report at intervals that the event loop runs, if the manager wants that."""
        if not self._interval:
            yield
            return
        beats = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beats.cancel()

    async def _beat(self) -> None:
        while True:
            self._report("WATCHDOG=1")
            await asyncio.sleep(self._interval)

    def _report(self, *states: str) -> None:
        if not self._address:
            return
        is_abstract = self._address.startswith("@")  # a namespace of Linux
        address = "\0" + self._address[1:] if is_abstract else self._address
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
        ):
            channel.setblocking(False)
            channel.sendto("\n".join(states).encode(), address)
