"""Runs that an earlier version indexed are indexed as this version does."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.engine import engine as engine_module
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database import schema
from llamakeep.storage.history import reindexing
from llamakeep.storage.history.filters import EVERYTHING
from tests.engine.engine import open_engine
from tests.fakes import ScriptedProvider
from tests.storage.running import start
from tests.storage.test_search import find
from tests.waiting import LONG_ENOUGH

OLD_PROMPTS = ["Cafe\u0301", "plain", "\ufb01n", "Cafe\u0301 again", "\uff57ide"]
SEARCHES = {"Café": 2, "fin": 1, "wide": 1, "plain": 1}


@pytest.fixture
async def older(postgres_url: str) -> AsyncIterator[Storage]:
    """A database with finished runs from before words were normalised."""
    async with open_storage(postgres_url, migrate=True) as storage:
        for version in ("base", "0011"):
            await storage._database.write(partial(schema.migrate, target=version))
        alice = await storage.add_user("alice", None)
        for prompt in OLD_PROMPTS:
            await storage.add(alice, prompt, "")
        await storage.migrate()
        yield storage


async def _alice(storage: Storage) -> User:
    [alice] = await storage.list_users()
    return alice


async def _found(storage: Storage) -> dict[str, int]:
    alice = await _alice(storage)
    return {words: len(await find(storage, alice, words)) for words in SEARCHES}


async def test_runs_from_before_are_indexed_anew_in_portions(
    older: Storage, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "AT_ONCE", 2)
    assert await _found(older) == SEARCHES | {"Café": 0, "fin": 0, "wide": 0}

    assert await older.reindex_some()
    assert (await _found(older))["Café"] == 1
    async with open_storage(postgres_url) as after_a_restart:
        assert await after_a_restart.reindex_some()
        assert await after_a_restart.reindex_some()
        assert not await after_a_restart.reindex_some()

        assert await _found(after_a_restart) == SEARCHES
        assert not await after_a_restart.reindex_some()


async def test_a_portion_has_a_bound_of_characters_and_one_run_at_least(
    older: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "MUCH", 3)
    portions = 0

    while await older.reindex_some():
        portions += 1

    assert portions == len(OLD_PROMPTS)
    assert await _found(older) == SEARCHES


async def test_several_servers_do_each_portion_once(
    older: Storage, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "AT_ONCE", 1)

    async with open_storage(postgres_url) as other, asyncio.timeout(LONG_ENOUGH):
        while any(await asyncio.gather(older.reindex_some(), other.reindex_some())):
            pass

    assert await _found(older) == SEARCHES


async def test_what_goes_on_is_left_alone_and_deleted_runs_are_passed_by(
    older: Storage,
) -> None:
    alice = await _alice(older)
    going_on = await start(older, alice, "Cafe\u0301")
    [*_, oldest] = await older.history(alice, matching=EVERYTHING)
    await older.delete_run(alice, oldest.id)

    while await older.reindex_some():
        pass

    assert len(await find(older, alice, "Café")) == 1
    assert (await older.get_run(alice, going_on.id)).status is RunStatus.STARTING


async def test_a_server_does_it_by_itself(
    older: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "INDEXING_PAUSE", 0)

    async with (
        open_engine(settings, older, ScriptedProvider()),
        asyncio.timeout(LONG_ENOUGH),
    ):
        while await _found(older) != SEARCHES:  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(0.02)


async def test_a_new_database_has_nothing_to_index_anew(storage: Storage) -> None:
    assert not await storage.reindex_some()
