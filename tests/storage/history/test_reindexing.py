"""Runs that an earlier version indexed are indexed as this version does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import insert, text

from llamakeep.domain import Run, RunStatus, ToolCall, User
from llamakeep.engine import engine as engine_module
from llamakeep.engine import upkeep
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database import schema
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history import indexing, reindexing
from llamakeep.storage.history.filters import EVERYTHING
from tests.engine.engine import open_engine
from tests.fakes import ScriptedProvider
from tests.storage.history.test_search import find
from tests.storage.running import add_older_user, ended, new_run, older_row, start
from tests.waiting import LONG_ENOUGH

OLD_PROMPTS = ["\N{CYRILLIC CAPITAL LETTER KA}от", "plain", "1e5x", "won\u200bder"]
OLD_PROMPTS += [f"{OLD_PROMPTS[0]} again"]
CAT = "\N{CYRILLIC SMALL LETTER KA}от"
SEARCHES = {CAT: 2, "1e5x": 1, "der": 1, "plain": 1}
FOUND_AT_ONCE = dict.fromkeys(SEARCHES, 0) | {"plain": 1}


@pytest.fixture(params=["0014", "0011"])
async def older(
    request: pytest.FixtureRequest, postgres_url: str
) -> AsyncIterator[Storage]:
    """A database with finished runs that an earlier version has indexed."""
    async with open_storage(postgres_url, migrate=True) as storage:
        for version in ("base", request.param):
            await storage._database.write(partial(schema.migrate, target=version))
        await _add_as_before(storage, await add_older_user(storage), OLD_PROMPTS)
        await storage.migrate()
        yield storage


async def _add_as_before(
    storage: Storage, user: User, prompts: Sequence[str]
) -> Sequence[Run]:
    """Add finished runs, and leave it to PostgreSQL to index them."""
    added = [ended(new_run(user, prompt)) for prompt in prompts]
    rows = [older_row(run) for run in added]
    await storage._database.write(lambda c: c.execute(insert(runs), rows).close())
    return added


async def _execute(storage: Storage, statement: str) -> None:
    await storage._database.write(lambda c: c.execute(text(statement)).close())


async def _alice(storage: Storage) -> User:
    [alice] = await storage.list_users()
    return alice


async def _found(storage: Storage) -> dict[str, int]:
    alice = await _alice(storage)
    return {words: len(await find(storage, alice, words)) for words in SEARCHES}


async def test_runs_from_before_are_indexed_anew_in_portions(
    older: Storage, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "AT_ONCE", 3)
    assert await _found(older) == FOUND_AT_ONCE

    assert await older.reindex_some()
    assert await _found(older) == FOUND_AT_ONCE | {CAT: 1, "1e5x": 1}
    async with open_storage(postgres_url) as after_a_restart:
        while await after_a_restart.reindex_some():
            pass

        assert await _found(after_a_restart) == SEARCHES
        assert not await after_a_restart.reindex_some()


async def test_a_portion_has_a_bound_of_characters_and_one_run_at_least(
    older: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "MUCH", 3)
    portions = 0

    while await older.reindex_some():
        portions += 1

    assert portions >= len(OLD_PROMPTS)
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
    going_on = await start(older, alice, OLD_PROMPTS[0])
    [*_, oldest] = await older.history(alice, matching=EVERYTHING)
    await older.delete_run(alice, oldest.id)

    while await older.reindex_some():
        pass

    assert len(await find(older, alice, CAT)) == 1
    assert (await older.get_run(alice, going_on.id)).status is RunStatus.STARTING


async def test_tool_calls_of_runs_that_were_imported_meanwhile_stay_found(
    older: Storage,
) -> None:
    alice = await _alice(older)
    [*_, oldest] = await older.history(alice, matching=EVERYTHING)
    await older.delete_run(alice, oldest.id)
    called = replace(ended(oldest), output=(ToolCall("call_1", "clock", "{}"),))
    await older.import_runs(alice, [replace(called, response="")])

    while await older.reindex_some():
        pass

    assert [run.id for run in await find(older, alice, "clock")] == [oldest.id]


async def test_what_has_the_same_words_is_not_written(older: Storage) -> None:
    query = text("SELECT xmin::text, prompt FROM runs ORDER BY id")
    before = await older._database.read(lambda c: c.execute(query).all())

    while await older.reindex_some():
        pass

    after = await older._database.read(lambda c: c.execute(query).all())
    kept = [new.prompt for old, new in zip(before, after, strict=True) if old == new]
    assert kept == ["plain"]


async def test_what_a_server_of_an_earlier_version_finishes_is_indexed_anew(
    older: Storage,
) -> None:
    alice = await _alice(older)
    going_on = await start(older, alice, "plain")
    while await older.reindex_some():
        pass

    await _add_as_before(older, alice, OLD_PROMPTS)
    await _execute(
        older,
        f"UPDATE runs SET status = 'succeeded', response = '{OLD_PROMPTS[0]}' "
        f"WHERE id = '{going_on.id}'",
    )
    found = await _found(older)
    while await older.reindex_some():
        pass

    assert found == SEARCHES | {"plain": 3}
    assert await _found(older) == {CAT: 5, "1e5x": 2, "der": 2, "plain": 3}


async def test_a_server_of_an_earlier_version_finds_nothing_to_index_anew(
    older: Storage,
) -> None:
    query = text("SELECT count(*) FROM search_reindexing")

    assert await older._database.read(lambda c: c.scalar(query)) == 0


async def test_after_a_downgrade_and_an_upgrade_all_is_found(
    older: Storage,
) -> None:
    alice = await _alice(older)
    await older.reindex_some()

    await older._database.write(partial(schema.migrate, target="0014"))
    await _add_as_before(older, alice, OLD_PROMPTS)
    await older.migrate()
    while await older.reindex_some():
        pass

    assert await _found(older) == {words: 2 * n for words, n in SEARCHES.items()}


async def test_words_that_postgresql_refuses_are_made_by_its_own_rules(
    older: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await _alice(older)
    monkeypatch.setattr(indexing, "lexemes", lambda *_: "'")
    monkeypatch.setattr(reindexing, "lexemes", lambda *_: "'")

    run = await older.add(alice, "plain sailing", "")
    while await older.reindex_some():
        pass

    assert await find(older, alice, "sailing") == [run]


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


async def test_a_server_also_does_what_servers_of_an_earlier_version_add_later(
    older: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "INDEXING_PAUSE", 0)
    monkeypatch.setattr(upkeep, "REINDEXING_PAUSE", 0)
    alice = await _alice(older)

    async with (
        open_engine(settings, older, ScriptedProvider()),
        asyncio.timeout(LONG_ENOUGH),
    ):
        while await _found(older) != SEARCHES:  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(0.02)
        await _add_as_before(older, alice, OLD_PROMPTS)
        while (await _found(older))[CAT] != 4:  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(0.02)


async def test_a_new_database_has_nothing_to_index_anew(storage: Storage) -> None:
    assert not await storage.reindex_some()
