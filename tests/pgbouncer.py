"""pgbouncer for tests, in front of a PostgreSQL server."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from tests.debian import debian_program

CONFIGURATION = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
server_reset_query = DISCARD ALL
server_login_retry = 1
"""


@contextmanager
def running_pgbouncer(url: str, mode: str, *, size: int = 3) -> Iterator[str]:
    """
    Run it in one of its modes, and yield the URL of the database behind it.

    It is started again when it crashes, as a service is.
    """
    program = debian_program("pgbouncer")
    server = urlsplit(url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own_port: int = probe.getsockname()[1]
    with TemporaryDirectory(prefix="llamakeep-pgbouncer-") as name:
        file = Path(name) / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(
                host=server.hostname,
                port=server.port,
                own_port=own_port,
                mode=mode,
                size=size,
            )
        )
        user = None
        if os.geteuid() == 0:  # which it refuses to be
            user = "nobody"
            for path in (name, file):
                shutil.chown(path, user)
        command = [program, "-q", str(file)]
        is_over = threading.Event()
        running: list[subprocess.Popen[bytes]] = []

        def supervise() -> None:
            # Version 1.18 crashes at times when it has to cancel many statements.
            while not is_over.is_set():
                process = subprocess.Popen(
                    command,
                    user=user,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                running[:] = [process]
                process.wait()

        thread = threading.Thread(target=supervise)
        thread.start()
        try:
            _wait_until_open(own_port)
            yield server._replace(netloc=f"postgres@127.0.0.1:{own_port}").geturl()
        finally:
            is_over.set()
            while thread.is_alive():
                for process in running:
                    process.kill()
                thread.join(0.1)


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
