"""Changes at one node, for those who listen at another one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import uvicorn

from llamakeep.api.nodes.app import create_node_app
from llamakeep.engine import Engine
from llamakeep.engine.feeds.feed import Change
from llamakeep.nodes.changes import ToldChanges
from llamakeep.nodes.listening import listen
from llamakeep.nodes.peers import Peers
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.nodes.ports import tls_port
from tests.waiting import until

LATE = 3600.0


@asynccontextmanager
async def reachable(engine: Engine, storage: Storage, here: str) -> AsyncIterator[None]:
    """Have other nodes reach an engine, and that one them, from a machine."""
    listening = await asyncio.to_thread(
        listen, engine.node_id, here=here, at=("127.0.0.1", 0), most_ports=1
    )
    await storage.join(engine.node_id, lease=LATE, contact=listening.contact)
    assert engine.feeds.elsewhere is not None
    peers = Peers(storage, engine.node_id, place=here)
    engine.feeds.elsewhere = ToldChanges(engine.feeds.elsewhere, peers)
    app = create_node_app(engine, listening.contact.secret)
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    async with tls_port(listening, app, server.server_state):
        serving = asyncio.create_task(server.serve([listening.near]))
        try:
            await until(lambda: server.started)
            yield
        finally:
            server.should_exit = server.force_exit = True
            await serving


@pytest.mark.slow
@pytest.mark.parametrize("machines", [("one", "one"), ("one", "another")])
async def test_who_listens_is_told_what_another_node_changes_without_a_look(
    settings: Settings,
    clean_postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    machines: tuple[str, str],
) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.elsewhere.EVERY", LATE)
    monkeypatch.setattr("llamakeep.engine.feeds.feeds.LINGERING", 0)
    go_on = asyncio.Event()
    async with (
        open_storage(clean_postgres_url) as storage,
        open_engine(settings, storage, ScriptedProvider(["Be", go_on])) as home,
        open_engine(settings, storage, ScriptedProvider()) as other,
        reachable(home, storage, machines[0]),
        reachable(other, storage, machines[1]),
    ):
        alice = await storage.add_user("alice", None)
        woken = asyncio.Event()
        listener = await other.feeds.listen(alice.id, woken.set)
        await until(lambda: alice.id in home._runner.feeds)

        run = await home.accept(alice, WHY)
        await until(lambda: run.id in told(listener.feed.since(0)))
        go_on.set()
        await home.result(run)
        await until(lambda: told(listener.feed.since(0))[run.id] == "succeeded")

        # At home nobody listens, so nothing is read there.
        assert home._runner.feeds[alice.id].number == 0
        other.feeds.leave(listener)
        await until(lambda: not home._runner.feeds)
        await until(lambda: not other._runner.feeds)


def told(changes: Sequence[Change]) -> dict[str, str]:
    return {each.run_id: each.run.beginning.run.status for each in changes if each.run}
