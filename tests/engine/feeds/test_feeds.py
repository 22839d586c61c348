"""Feeds of what changes: what listeners get, and what it costs without any."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.engine import Engine
from llamakeep.engine.feeds.feed import Change, Listener
from llamakeep.errors import StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.faulty_storage import FaultyStorage
from tests.storage.running import ended, new_run, start
from tests.waiting import until


class Told(NamedTuple):
    """What a listener took, as a list shows it."""

    changes: list[Change]
    losses: list[int]

    def statuses(self, run_id: str) -> list[RunStatus | None]:
        return [
            each.run and each.run.beginning.run.status
            for each in self.changes
            if each.run_id == run_id
        ]


async def listen(engine: Engine, user: User) -> tuple[Listener, Told]:
    told = Told([], [])
    listeners: list[Listener] = []

    def take() -> None:
        for listener in listeners:
            news = listener.take()
            told.changes.extend(news.changes)
            if not news.is_complete:
                told.losses.append(listener.number)

    listeners.append(await engine.feeds.listen(user.id, take))
    return listeners[0], told


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.elsewhere.EVERY", 0.01)
    monkeypatch.setattr("llamakeep.engine.feeds.feed.GATHERING", 0.0)
    monkeypatch.setattr("llamakeep.engine.feeds.feed.RETRY", 0.01)


class Pair(NamedTuple):
    """Two servers of one database."""

    here: Engine
    there: Engine
    storage: Storage
    looking: FaultyStorage
    """Of the one here."""
    alice: User


@pytest.fixture
async def pair(settings: Settings, clean_postgres_url: str) -> AsyncIterator[Pair]:
    async with open_storage(clean_postgres_url) as storage:
        looking = FaultyStorage(storage)
        provider = ScriptedProvider()
        async with (
            open_engine(settings, looking, provider) as here,
            open_engine(settings, storage, provider) as there,
        ):
            alice = await storage.add_user("alice", None)
            yield Pair(here, there, storage, looking, alice)


async def test_a_run_that_another_server_works_on_is_told_from_beginning_to_end(
    pair: Pair,
) -> None:
    _, told = await listen(pair.here, pair.alice)
    run = await start(pair.storage, pair.alice)
    await until(lambda: told.statuses(run.id) == [RunStatus.STARTING])
    await pair.storage.flush([replace(run, response="Be")])
    await until(lambda: told.statuses(run.id)[-1] is RunStatus.PROCESSING)

    await pair.storage.finish(ended(run, response="Because"))

    await until(lambda: told.statuses(run.id)[-1] is RunStatus.SUCCEEDED)
    assert len(told.statuses(run.id)) == 3
    assert not told.losses


async def test_what_begins_and_ends_between_two_looks_is_told(pair: Pair) -> None:
    _, told = await listen(pair.here, pair.alice)

    added = [await pair.storage.add(pair.alice, "Hi", "Ho") for _ in range(3)]
    run = await pair.there.answer(pair.alice, WHY)

    ids = {each.id for each in (*added, run)}
    await until(lambda: {each.run_id for each in told.changes} == ids)
    await until(lambda: told.statuses(run.id)[-1] is RunStatus.SUCCEEDED)


async def test_a_run_that_another_server_ends_and_deletes_is_told(
    pair: Pair,
) -> None:
    run = await start(pair.storage, pair.alice)
    _, told = await listen(pair.here, pair.alice)

    await pair.storage.finish(ended(run, RunStatus.CANCELED))
    await pair.storage.delete_run(pair.alice, run.id)

    await until(lambda: told.changes)
    assert told.statuses(run.id)[-1] in {None, RunStatus.CANCELED}


async def test_what_was_so_before_is_not_told(pair: Pair) -> None:
    await start(pair.storage, pair.alice)
    await pair.storage.add(pair.alice, "Hi", "Ho")
    bob = await pair.storage.add_user("bob", None)
    _, told = await listen(pair.here, pair.alice)
    looks = pair.looking.calls["run_states"]
    await start(pair.storage, bob)

    await until(lambda: pair.looking.calls["run_states"] > looks + 2)

    assert told == Told([], [])


async def test_a_run_of_this_server_is_told_once_although_it_is_looked_for(
    pair: Pair,
) -> None:
    _, told = await listen(pair.here, pair.alice)
    run = await pair.here.answer(pair.alice, WHY)
    await until(lambda: RunStatus.SUCCEEDED in told.statuses(run.id))
    looks = pair.looking.calls["run_states"]

    await until(lambda: pair.looking.calls["run_states"] > looks + 2)

    assert told.statuses(run.id).count(RunStatus.SUCCEEDED) == 1


async def test_more_than_can_be_looked_at_is_told_as_a_loss(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.elsewhere.MOST", 5)
    _, told = await listen(pair.here, pair.alice)

    many = [
        new_run(pair.alice, status=RunStatus.SUCCEEDED, started_at=None)
        for _ in range(20)
    ]
    await pair.storage.import_runs(pair.alice, many)

    await until(lambda: told.losses)


async def test_a_database_that_fails_for_a_while_hides_nothing(pair: Pair) -> None:
    _, told = await listen(pair.here, pair.alice)
    pair.looking.fails["run_states"] = 10**6
    looks = pair.looking.calls["run_states"]
    run = await start(pair.storage, pair.alice)
    await pair.storage.finish(ended(run, response="Because"))
    await until(lambda: pair.looking.calls["run_states"] > looks + 1)

    pair.looking.fails.clear()

    await until(lambda: told.statuses(run.id) == [RunStatus.SUCCEEDED])


async def test_a_listener_is_refused_while_others_changes_cannot_be_known(
    pair: Pair,
) -> None:
    pair.looking.fails["run_states"] = 10**6

    with pytest.raises(StorageUnavailable):
        await listen(pair.here, pair.alice)


async def test_nothing_is_looked_for_without_a_listener(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.feeds.LINGERING", 0.0)
    assert not pair.looking.calls["run_states"]
    listener, _ = await listen(pair.here, pair.alice)
    await until(lambda: pair.looking.calls["run_states"] > 2)

    pair.here.feeds.leave(listener)
    await asyncio.sleep(0.05)  # a look may be going on
    looks = pair.looking.calls["run_states"]
    await asyncio.sleep(0.1)

    assert pair.looking.calls["run_states"] == looks


async def test_one_process_alone_looks_for_nothing(
    settings: Settings, storage: Storage, alice: User
) -> None:
    looking = FaultyStorage(storage)
    async with open_engine(settings, looking, ScriptedProvider()) as engine:
        await engine.answer(alice, WHY)
        assert not looking.calls["changed_runs"]
        _, told = await listen(engine, alice)
        run = await engine.answer(alice, WHY)
        await until(lambda: RunStatus.SUCCEEDED in told.statuses(run.id))

    assert not looking.calls["run_states"]
    assert looking.calls["changed_runs"] <= 3


async def test_a_run_that_began_before_its_listener_came_is_told(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on, "Yes"])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        _, told = await listen(engine, alice)

        go_on.set()

        await until(lambda: RunStatus.SUCCEEDED in told.statuses(run.id))
    assert not told.losses


async def test_a_run_that_is_taken_up_again_is_told(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(is_free=True)
    left = await start(storage, alice)
    async with open_engine(settings, storage, provider, take_over=False) as engine:
        _, told = await listen(engine, alice)

        await engine._runner.recovery.open(take_over=True)

        await until(lambda: RunStatus.SUCCEEDED in told.statuses(left.id))


async def test_changes_that_cannot_be_read_are_told_later(
    settings: Settings, storage: Storage, alice: User
) -> None:
    failing = FaultyStorage(storage)
    async with open_engine(settings, failing, ScriptedProvider()) as engine:
        _, told = await listen(engine, alice)
        failing.fails["changed_runs"] = 10**6
        run = await engine.answer(alice, WHY)
        await until(lambda: failing.calls["changed_runs"] > 2)
        assert not told.changes

        failing.fails.clear()

        await until(lambda: told.statuses(run.id) == [RunStatus.SUCCEEDED])
