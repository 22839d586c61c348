"""What the server opens, it closes, whatever fails meanwhile."""

import asyncio

import pytest

from llamakeep.app import create_app
from llamakeep.deletion.retention import Retention
from llamakeep.errors import StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from tests.fakes import ScriptedProvider


class Unclosable(ScriptedProvider):
    async def close(self) -> None:
        await super().close()
        raise OSError("It does not close.")


async def test_what_cannot_be_closed_keeps_nothing_else_open(
    settings: Settings,
) -> None:
    provider = Unclosable()
    app = create_app(settings, providers=[provider])
    before = asyncio.all_tasks()

    with pytest.raises(OSError, match="does not close"):
        async with app.router.lifespan_context(app):
            pass

    assert provider.is_closed
    async with open_storage(settings.database_url):
        pass  # nobody owns the file any more
    assert asyncio.all_tasks() == before


async def test_what_was_open_before_something_failed_to_open_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Retention) -> None:
        raise OSError("It does not open.")

    monkeypatch.setattr(Retention, "open", fail)
    provider = ScriptedProvider()
    app = create_app(settings, providers=[provider])
    before = asyncio.all_tasks()

    with pytest.raises(OSError, match="does not open"):
        async with app.router.lifespan_context(app):
            pass

    assert provider.is_closed
    async with open_storage(settings.database_url):
        pass
    assert asyncio.all_tasks() == before


async def test_a_server_starts_although_leases_of_the_dead_cannot_be_released(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Storage, nodes: object) -> None:
        raise StorageUnavailable(f"The disk is full: {nodes}")

    monkeypatch.setattr(Storage, "release_leases", fail)
    app = create_app(settings, providers=[ScriptedProvider()], dead_nodes=["node_1"])

    async with app.router.lifespan_context(app):
        assert app.state.services.engine.is_stopping is False
