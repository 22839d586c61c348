"""What a server does that finds out that its run is another server's by now."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

import pytest

from llamakeep.domain import User
from llamakeep.engine import Engine
from llamakeep.engine.live import LiveRun
from llamakeep.providers.base import Candidate, CompletionRequest
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.steps import Attached
from tests.engine.engine import WHY, open_engine
from tests.engine.forgetful import ANOTHER, Forgetful, lost_run
from tests.faulty_storage import FaultyStorage
from tests.storage.running import start, taken_from
from tests.waiting import until

LATE = 3600.0
"""Seconds that nobody waits for in here."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"settle_time": 0.05})


def lives(engine: Engine) -> Collection[LiveRun]:
    return tuple(engine._runner.live.values())


@pytest.mark.parametrize("is_found", [True, False])
async def test_a_server_that_was_frozen_cancels_what_it_made_unless_another_found_it(
    settings: Settings, storage: Storage, alice: User, is_found: bool
) -> None:
    provider = Forgetful(["Be", "cause."])
    provider.requests = [ANOTHER]
    provider.before_accepting = may_wake = asyncio.Event()
    async with open_engine(settings, storage, provider) as engine:
        await engine.accept(alice, WHY)
        await until(lambda: provider.open_answers)
        [taken] = await taken_from(engine.node_id, storage)
        await storage.attach(taken, "new" if is_found else "another")

        may_wake.set()
        await until(lambda: not (engine.running or provider.open_answers))

    assert provider.closed_early == (0 if is_found else 1)
    assert (await storage.get_run(alice, taken.id)).response == ""


async def test_what_the_holder_may_still_find_is_stopped_when_it_has_another_answer(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"flush_interval": 0.01})
    provider = Forgetful(["Be", asyncio.Event()])
    provider.requests = [ANOTHER]
    provider.before_accepting = may_wake = asyncio.Event()
    counting = FaultyStorage(storage)
    async with open_engine(settings, counting, provider) as engine:
        await engine.accept(alice, WHY)
        await until(lambda: provider.open_answers)
        [taken] = await taken_from(engine.node_id, storage)
        may_wake.set()
        await until(lambda: counting.calls["progress"] >= 3)
        assert provider.closed_early == 0

        await storage.attach(taken, "another")
        await until(lambda: not engine.running)

    assert provider.closed_early == 1


async def test_nothing_is_begun_again_for_a_run_that_another_server_has_by_now(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(listed=[Candidate("theirs", is_proven=True)])
    provider.may_lose.clear()
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        [taken] = await taken_from(engine.node_id, storage)
        assert await storage.attach(taken, "theirs") is Attached.KEPT

        provider.may_lose.set()
        await until(lambda: not engine.running)

    assert len(provider.requests) == 1
    assert provider.stopped == []
    run = await storage.get_run(alice, run_id)
    assert (run.handle, run.attempt) == ("theirs", taken.attempt)


async def test_a_server_that_lost_a_run_while_it_looked_begins_nothing(
    settings: Settings, storage: Storage, alice: User
) -> None:
    class Looking(Forgetful):
        may_find = asyncio.Event()

        async def find(
            self, request: CompletionRequest, *, within: timedelta
        ) -> Sequence[Candidate]:
            found = await super().find(request, within=within)
            await self.may_find.wait()
            return found

    await start(storage, alice)
    provider = Looking()
    provider.requests = [ANOTHER]
    async with open_engine(settings, storage, provider) as engine:
        await until(lambda: provider.looks)
        [taken] = await taken_from(engine.node_id, storage)
        await storage.attach(taken, "theirs")

        provider.may_find.set()
        await until(lambda: not engine.running)

    assert provider.requests == [ANOTHER]


@pytest.mark.parametrize(
    ("attached", "is_proven", "is_stopped"),
    [
        ("another", True, True),
        ("another", False, False),  # it may be somebody else's
        ("ours", True, False),
        (None, True, False),  # it may still be found
    ],
)
async def test_what_is_found_for_a_run_that_is_lost_is_stopped_if_no_run_has_it(  # noqa: PLR0917 - names
    settings: Settings,
    storage: Storage,
    alice: User,
    attached: str | None,
    is_proven: bool,
    is_stopped: bool,
) -> None:
    provider = Forgetful(listed=[Candidate("ours", is_proven=is_proven)])
    provider.may_lose.clear()
    settings = settings.model_copy(update={"settle_time": 0.02})
    async with lost_run(settings, storage, alice, provider) as (engine, _):
        [taken] = await taken_from(engine.node_id, storage)
        if attached == "another":
            await storage.attach(taken, attached)

        provider.may_lose.set()
        await until(lambda: provider.looks)
        if attached == "ours":
            await storage.attach(taken, attached)
        await until(lambda: not engine.running)

    assert provider.stopped == (["ours"] if is_stopped else [])
    assert len(provider.requests) == 1


@pytest.mark.parametrize("is_found", [True, False])
async def test_an_answer_that_is_attached_late_is_stopped_if_the_run_is_lost(
    settings: Settings, storage: Storage, alice: User, is_found: bool
) -> None:
    settings = settings.model_copy(update={"flush_interval": 0.01})
    end = asyncio.Event()
    provider = Forgetful(["Be", end])
    provider.requests = [ANOTHER]
    full = FaultyStorage(storage, {"attach": 10**6})
    async with open_engine(settings, full, provider) as engine:
        await engine.accept(alice, WHY)
        await until(lambda: full.calls["attach"])
        [taken] = await taken_from(engine.node_id, storage)
        await storage.attach(taken, "new" if is_found else "another")

        full.fails.clear()
        if is_found:
            await until(lambda: not any(each.owed_handle for each in lives(engine)))
            end.set()
        await until(lambda: not engine.running)

    assert provider.closed_early == (0 if is_found else 1)


async def test_an_answer_is_stopped_also_where_the_loss_was_noticed_first(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"flush_interval": 0.01, "lease": 0.1})
    provider = Forgetful(["Be", asyncio.Event()])
    provider.requests = [ANOTHER]
    full = FaultyStorage(storage, {"attach": 10**6})
    async with open_engine(settings, full, provider, take_over=False) as engine:
        await engine.accept(alice, WHY)
        await until(lambda: full.calls["attach"])
        [live] = lives(engine)
        [taken] = await taken_from(engine.node_id, storage)
        await storage.attach(taken, "another")
        await until(lambda: live.is_lost)

        full.fails.clear()
        await until(lambda: not engine.running)

    assert provider.closed_early == 1
