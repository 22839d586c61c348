"""Finished runs are indexed when there is time, not only when somebody searches."""

import asyncio

import pytest

from llamakeep.domain import User
from llamakeep.engine import engine as engine_module
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.history.search import has_more
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.waiting import LONG_ENOUGH


async def test_finished_runs_are_indexed_without_being_asked_for(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "INDEXING_PAUSE", 0)

    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        await engine.result(await engine.accept(alice, WHY))

        async with asyncio.timeout(LONG_ENOUGH):
            while await storage._database.read(has_more):  # noqa: ASYNC110 - of a thread
                await asyncio.sleep(0.01)
