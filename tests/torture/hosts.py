"""A host of its own for servers: a network namespace whose cable can be pulled."""

import asyncio
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from tests.acceptance.processes import Runner
from tests.guards import OWN_ADDRESSES
from tests.postgres import PostgresServer, stoppable_postgres
from tests.torture.faults import Fault
from tests.torture.site import LEASE, Site
from tests.torture.stage import NewDatabase

NOT_THERE = "02:00:5e:00:53:01"
"""An address of hardware that there is none of (RFC 7042)."""
NOTICED = 2.0
"""Seconds after its lease in which a lost host is noticed."""


class HostUnavailable(Exception):
    """There are no network namespaces on this machine."""


class Host:
    """
    Somewhere else, with one cable to this machine.

    What is sent while it is cut arrives nowhere, and nothing says so: as when a switch
    dies, or the host does.
    """

    def __init__(self) -> None:
        number = secrets.randbelow(1 << 14)
        self._name = f"lost{number}"
        network = int(IPv4Address("10.200.0.0")) + 4 * number
        self.machine, self.address = (
            str(IPv4Address(network + each)) for each in (1, 2)
        )
        """Of this machine, as the host sees it, and of the host."""
        self.within = ("nsenter", f"--net=/run/netns/{self._name}")
        """Runs a command there."""
        self._there = ("-n", self._name)

    def open(self) -> None:
        """
        Make it, and connect it.

        Raises:
            HostUnavailable: It says why.
        """
        name = self._name
        _ip("netns", "add", name)
        OWN_ADDRESSES.add(self.machine)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{self.machine}/30", "dev", name)
        _ip(*self._there, "addr", "add", f"{self.address}/30", "dev", "eth0")
        _ip("link", "set", name, "up")
        for each in ("lo", "eth0"):
            _ip(*self._there, "link", "set", each, "up")

    def close(self) -> None:
        """Remove it."""
        OWN_ADDRESSES.discard(self.machine)
        _ip("netns", "del", self._name)

    def cut(self) -> None:
        """Have all packets go to hardware that is not there, in both directions."""
        for how, other, device in self._ends:
            there = (other, "lladdr", NOT_THERE, "dev", device, "nud", "permanent")
            _ip(*how, "neigh", "replace", *there)

    def mend(self) -> None:
        """Have them arrive again."""
        for how, other, device in self._ends:
            _ip(*how, "neigh", "del", other, "dev", device)

    @property
    def _ends(self) -> Sequence[tuple[Sequence[str], str, str]]:
        return [
            ((), self.address, self._name),
            (self._there, self.machine, "eth0"),
        ]

    def seen(self, url: str) -> str:
        """Return the URL of something on this machine as the host sees it."""
        return url.replace("127.0.0.1", self.machine)


@contextmanager
def separate_host(folder: Path) -> Iterator[tuple[Host, Runner]]:
    """
    Make a host, and what starts servers there.

    This process talks to them all the while: their listening sockets are its own.

    Raises:
        HostUnavailable: It says why.
    """
    host = Host()
    host.open()
    try:
        runner = Runner(folder, within=host.within)
        try:
            yield host, runner
        finally:
            runner.close()
    finally:
        host.close()


@dataclass
class TwoHosts:
    """This machine and a host, with a PostgreSQL server here that both reach."""

    host: Host
    there: Runner
    """Starts servers on the host."""
    postgres: PostgresServer

    def seen(self, new: NewDatabase) -> NewDatabase:
        """Make databases whose URL is right on both."""

        @asynccontextmanager
        async def seen(folder: Path) -> AsyncIterator[str]:
            async with new(folder) as url:
                yield self.host.seen(url)

        return seen


@contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """
    Make a host, and start a PostgreSQL server.

    Raises:
        HostUnavailable: It says why.
        PostgresUnavailable: It says why.
    """
    with separate_host(folder) as (host, there), ExitStack() as stack:
        # Not in pytest's tmp_path: PostgreSQL's user may not enter that one.
        temporary = tempfile.TemporaryDirectory(prefix="llamakeep-hosts-")
        readable = Path(stack.enter_context(temporary))
        readable.chmod(0o755)
        file = readable / "pg_hba.conf"
        file.write_text("host all all samehost trust\nhost all all samenet trust\n")
        settings = {
            "listen_addresses": f"127.0.0.1,{host.machine}",
            "hba_file": str(file),
        }
        postgres = stack.enter_context(stoppable_postgres(settings=settings))
        yield TwoHosts(host, there, postgres)


def cut_off(host: Host, *, seconds: float = LEASE + NOTICED + 1) -> Fault:
    """Cut a host for so long that others take its runs over."""

    @asynccontextmanager
    async def broken(site: Site) -> AsyncIterator[None]:
        await asyncio.to_thread(host.cut)
        site.strikes.append(time.time())
        try:
            yield
        finally:
            await asyncio.to_thread(host.mend)

    return Fault("cuts", broken, seconds)


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(
            ["ip", *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise HostUnavailable("There is no ip: apt-get install iproute2") from error
    if done.returncode:
        said = done.stderr.strip()
        raise HostUnavailable(f"ip {' '.join(arguments)}: {said}")
