"""Changes at one node, for those who listen at another one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import uvicorn

from llamakeep.api.nodes.app import create_node_app
from llamakeep.engine import Engine
from llamakeep.engine.feeds.feed import Change
from llamakeep.nodes.changes import ToldChanges
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.nodes import Contact
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.waiting import until

LATE = 3600.0


@asynccontextmanager
async def reachable(engine: Engine, storage: Storage) -> AsyncIterator[None]:
    """Have other nodes reach an engine, and that one them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}#here"
        contact = Contact(engine.node_id, address, f"secret of {engine.node_id}")
        await storage.join(engine.node_id, lease=LATE, contact=contact)
        assert engine.feeds.elsewhere is not None
        engine.feeds.elsewhere = ToldChanges(
            engine.feeds.elsewhere, storage, engine.node_id, place="here"
        )
        app = create_node_app(engine, contact.secret)
        config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            await until(lambda: server.started)
            yield
        finally:
            server.should_exit = server.force_exit = True
            await serving


@pytest.mark.slow
async def test_who_listens_is_told_what_another_node_changes_without_a_look(
    settings: Settings, clean_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.elsewhere.EVERY", LATE)
    monkeypatch.setattr("llamakeep.engine.feeds.feeds.LINGERING", 0)
    go_on = asyncio.Event()
    async with (
        open_storage(clean_postgres_url) as storage,
        open_engine(settings, storage, ScriptedProvider(["Be", go_on])) as home,
        open_engine(settings, storage, ScriptedProvider()) as other,
        reachable(home, storage),
        reachable(other, storage),
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
