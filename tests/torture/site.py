"""One database, the servers on it, and what was done to them."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from llamakeep.api.accounts.demo import add_demo_users
from llamakeep.storage import open_storage
from tests.acceptance.processes import Runner, ServerProcess
from tests.torture.crash_points import MARK
from tests.torture.replicate import KEPT, LOST, Replicate
from tests.torture.upstreams.answering import Answering, Opening, on_replicate
from tests.torture.workers import WorkersProcess
from tests.waiting import until

LEASE = 3.0
SETTLE_TIME = 0.3
GRACE = 0.3
MAX_RUNNING = 6
"""Few enough that some prompts have to wait in the queue."""


class Site:
    """
    Servers that share a database, behind addresses that stay.

    Args:
        nodes: The servers; none is running yet.
        database_url: Their database.
        answering: Who answers.
        word: What every prompt has to contain.
        chance: What decides when and where.
    """

    def __init__(
        self,
        nodes: Sequence[ServerProcess],
        database_url: str,
        answering: Answering,
        word: str,
        chance: random.Random,
    ) -> None:
        self.nodes = nodes
        self.database_url = database_url
        self.answering = answering
        self.upstream = answering.upstream
        self.word = word
        self.chance = chance
        self.fates = fates(chance, lost=int(answering.finds_lost))
        self.kills = 0
        self.exits: list[int] = []
        """With what servers ended that were told to stop."""
        self.unreachable: ServerProcess | None = None
        self.strikes: list[float] = []
        """When servers were killed or frozen from outside, by `time.time`."""

    @property
    def replicate(self) -> Replicate:
        """The emulator, where nothing is between it and the servers."""
        assert isinstance(self.upstream, Replicate)
        return self.upstream

    def reachable_node(self) -> ServerProcess:
        """Return the server that a load balancer might choose."""
        return self.chance.choice([n for n in self.nodes if n is not self.unreachable])

    async def start(
        self,
        node: ServerProcess,
        *,
        crash_at: str = "",
        passes: int = 1,
        how: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start a server, which may be told to strike itself."""
        node.order.crash_at, node.order.crash_on = crash_at, passes
        node.order.crash_with = how
        await node.start()

    async def wait_until_serving(self, node: ServerProcess) -> None:
        """Wait until a server answers that was started."""

        async def serves() -> bool:
            try:
                return (await node.client.get("/healthz")).is_success
            except httpx2.TransportError:
                return False  # a connection to the process before may have been kept

        await until(serves)

    async def kill(self, node: ServerProcess) -> None:
        """End a server between two of its instructions."""
        self.kills += 1
        self.strikes.append(time.time())
        await node.stop()

    async def stop(self, node: ServerProcess) -> None:
        """End a server in good order, and note when its last word was said."""
        self.exits.append(await node.stop(signal.SIGTERM))
        self.strikes.append(time.time())

    async def replace(self, node: ServerProcess, **crash: Any) -> None:
        """Start a server anew that has nothing to do, which proves nothing."""
        if node.pid is not None:
            await node.stop()
        await self.start(node, **crash)

    async def has_died(self, node: ServerProcess) -> bool:
        """Return whether a server has killed itself; if so, it is not running now."""
        assert node.pid is not None
        try:
            os.kill(node.pid, 0)
        except ProcessLookupError:
            status = await node.ended()
            assert status == -signal.SIGKILL, f"it ended by itself, with {status}"
            self.kills += 1
            return True
        return False

    async def has_stopped(self, node: ServerProcess) -> bool:
        """Return whether a server has frozen itself."""
        stat = await asyncio.to_thread(Path(f"/proc/{node.pid}/stat").read_text)
        return stat.rpartition(")")[2].split()[0] == "T"

    def wake(self, node: ServerProcess) -> None:
        """Let a frozen server run again."""
        assert node.pid is not None
        os.kill(node.pid, signal.SIGCONT)

    async def all_strikes(self) -> list[float]:
        """Return when servers were struck, by us or by themselves."""
        strikes = [*self.strikes]
        for node in self.nodes:
            log = await asyncio.to_thread(node.log.read_text)
            strikes += [
                float(line.removeprefix(MARK))
                for line in log.splitlines()
                if line.startswith(MARK)
            ]
        return strikes


def fates(chance: random.Random, lost: int = 1, kept: int = 4) -> Iterator[str]:
    """
    Yield what shall become of the answers to creates, one after the other.

    Args:
        chance: What decides which of them.
        lost: How many are lost, of the two together. Many lost in a row would be an
            outage, for which servers wait.
        kept: How many are not.
    """
    while True:
        some = [LOST] * lost + [KEPT] * kept
        chance.shuffle(some)
        yield from some


async def prepare(database_url: str) -> None:
    """Give a database that servers will share this version's tables, and its users."""
    async with open_storage(database_url, migrate=True) as storage:
        await add_demo_users(storage)


def server_settings(database_url: str, *, lease: float = LEASE) -> dict[str, Any]:
    """Return the settings of a server of a site, whoever answers."""
    return {
        "database_url": database_url,
        "settle_time": SETTLE_TIME,
        "flush_interval": 0.1,
        "lease": lease,
        "max_running": MAX_RUNNING,
        "shutdown_grace": GRACE,
        "metrics_networks": "127.0.0.0/8",
    }


@asynccontextmanager
async def open_site(
    runner: Runner,
    folder: Path,
    emulator: str,
    database_url: str,
    *,
    chance: random.Random,
    nodes: int = 1,
    lease: float = LEASE,
    runners: Sequence[Runner] = (),
    has_workers: bool = False,
    opening: Opening = on_replicate,
) -> AsyncIterator[Site]:
    """
    Prepare a site; its servers and their processes end with it.

    Args:
        runner: Starts the servers.
        folder: For their logs.
        emulator: Where Replicate's emulator is.
        database_url: An empty database; one that is shared was prepared.
        chance: What decides when and where.
        nodes: How many servers there are.
        lease: For how many seconds they hold a run.
        runners: Starts them instead of `runner`, each its server.
        has_workers: Whether each is a parent with workers, as `--workers` makes it.
        opening: Begins who answers.
    """
    word = f"site{chance.getrandbits(48):012x}"
    usual = server_settings(database_url, lease=lease)
    async with opening(runner, folder, emulator, word, usual) as answering:
        settings = usual | answering.settings
        servers: list[ServerProcess] = [
            WorkersProcess(folder, settings)
            if has_workers
            else ServerProcess(each, folder, is_real=True, settings=settings)
            for each in runners or [runner] * nodes
        ]
        try:
            yield Site(servers, database_url, answering, word, chance)
        finally:
            for server in servers:
                await server.close()
