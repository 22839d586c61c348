"""Answers that were begun, and nobody was told which they are."""

import asyncio

import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.errors import LlamaKeepError, ProviderTimeout, ProviderUnavailable
from llamakeep.providers.base import (
    Candidate,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.steps import Attached
from tests.engine.engine import WHY, open_engine
from tests.engine.forgetful import ANOTHER, Forgetful, lost_run
from tests.storage.running import start
from tests.waiting import LONG_ENOUGH, until

LATE = 3600.0
"""Seconds that nobody waits for in here."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"settle_time": 0.05})


@pytest.fixture
def patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"settle_time": LATE})


async def test_a_hint_that_proves_right_is_gone_on_with_without_waiting(
    patient: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(proven={"ours"})
    async with lost_run(patient, storage, alice, provider) as (engine, run_id):
        engine.hint(run_id, "alien")
        await asyncio.sleep(0.01)
        engine.hint(run_id, "ours")

        async with asyncio.timeout(LONG_ENOUGH):
            run = await engine.result(await storage.get_run(alice, run_id))
    assert (run.response, run.handle) == ("Because.", "ours")
    assert provider.resumed == ["ours"]
    assert (len(provider.requests), provider.looks) == (2, 0)
    assert provider.hinted == ["alien", "ours"]


async def test_a_hint_counts_that_came_before_the_answer_was_known_to_be_lost(
    patient: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(proven={"ours"})
    provider.may_lose.clear()
    async with lost_run(patient, storage, alice, provider) as (engine, run_id):
        engine.hint(run_id, "ours")

        provider.may_lose.set()

        async with asyncio.timeout(LONG_ENOUGH):
            await engine.result(await storage.get_run(alice, run_id))
    assert provider.resumed == ["ours"]


@pytest.mark.parametrize("trouble", [None, ProviderUnavailable()])
async def test_a_hint_that_cannot_be_proven_changes_nothing(
    settings: Settings,
    storage: Storage,
    alice: User,
    trouble: LlamaKeepError | None,
) -> None:
    provider = Forgetful()
    provider.trouble = trouble
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        engine.hint(run_id, "alien")

        run = await engine.result(await storage.get_run(alice, run_id))
    assert run.handle == "new"
    assert (provider.looks, provider.resumed) == (2, [])


async def test_a_look_that_fails_does_not_count(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(listed=[Candidate("ours", is_proven=True)])
    provider.trouble = ProviderUnavailable(retry_after=0.01)
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.result(await engine.accept(alice, WHY))

    assert run.handle == "ours"
    assert provider.looks == 2


async def test_nobody_looks_longer_than_a_run_may_take(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"run_timeout": 0.3})
    provider = Forgetful()
    provider.may_look = False
    async with open_engine(settings, storage, provider) as engine:
        with pytest.raises(ProviderTimeout):
            await engine.result(await engine.accept(alice, WHY))

    assert provider.looks > 2
    assert len(provider.requests) == 1


async def test_hints_about_the_runs_of_others_are_of_no_use(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful()
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        assert engine.expects(run_id)
        assert not engine.expects("run_of_somebody_else")
        engine.hint("run_of_somebody_else", "ours")

    assert provider.hinted == []


async def test_a_run_that_is_canceled_while_it_is_looked_for_ends_at_once(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(listed=[Candidate("ours", is_proven=True)])
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        canceled = await engine.cancel(alice, run_id)

        assert canceled.status is RunStatus.CANCELED
        assert provider.stopped == []
        assert engine.expects(run_id)
        await until(lambda: provider.stopped)
        await until(lambda: not engine.expects(run_id))
    assert provider.stopped == ["ours"]
    assert provider.looks == 1


async def test_a_hint_about_a_canceled_run_stops_what_it_proves_at_once(
    patient: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(proven={"ours"})
    async with lost_run(patient, storage, alice, provider) as (engine, run_id):
        await engine.cancel(alice, run_id)

        engine.hint(run_id, "alien")
        await asyncio.sleep(0.01)
        engine.hint(run_id, "ours")

        await until(lambda: not engine.expects(run_id))
    assert provider.stopped == ["ours"]
    assert provider.looks == 0


async def test_what_is_only_alike_is_never_stopped(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(listed=[Candidate("alike", is_proven=False)])
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        await engine.cancel(alice, run_id)

        await until(lambda: not engine.expects(run_id))

    assert provider.looks == 2
    assert provider.stopped == []


async def test_what_cannot_be_listed_now_is_stopped_after_the_second_look(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(listed=[Candidate("ours", is_proven=True)])
    provider.may_lose.clear()  # the run itself does not look
    provider.trouble = ProviderUnavailable()
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        await engine.cancel(alice, run_id)

        await until(lambda: not engine.expects(run_id))

    assert provider.looks == 2
    assert provider.stopped == ["ours"]


async def test_where_nothing_can_be_proven_nobody_looks_for_canceled_runs(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(marks_answers=False)
    async with lost_run(settings, storage, alice, provider) as (engine, run_id):
        await engine.cancel(alice, run_id)

        assert not engine.expects(run_id)


async def test_nobody_looks_for_a_canceled_run_that_was_queued(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1})
    provider = Forgetful()
    provider.may_lose.clear()
    async with lost_run(settings, storage, alice, provider) as (engine, first):
        queued = await engine.accept(alice, WHY)

        await engine.cancel(alice, queued.id)

        assert not engine.expects(queued.id)
        await engine.cancel(alice, first)


async def test_a_run_that_was_canceled_before_a_crash_is_looked_for_after_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    await storage.request_cancel(alice, run.id)
    provider = Forgetful(listed=[Candidate("ours", is_proven=True)])

    async with open_engine(settings, storage, provider) as engine:
        await until(lambda: provider.stopped)
        canceled = await storage.get_run(alice, run.id)
        await until(lambda: not engine.running)

    assert canceled.status is RunStatus.CANCELED
    assert provider.stopped == ["ours"]
    assert provider.requests == []


async def test_a_process_that_stops_looks_once_more_without_waiting(
    patient: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(listed=[Candidate("ours", is_proven=True)])
    async with lost_run(patient, storage, alice, provider) as (engine, run_id):
        await engine.cancel(alice, run_id)

        async with asyncio.timeout(LONG_ENOUGH):
            await engine.close()

        assert not engine.expects(run_id)
    assert provider.stopped == ["ours"]
    assert provider.looks == 1


async def test_an_answer_that_another_run_has_found_is_heard_out_all_the_same(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = Forgetful(["Be", "cause."])
    provider.requests = [ANOTHER]
    provider.before_accepting = may_go_on = asyncio.Event()
    async with open_engine(settings, storage, provider, take_over=False) as engine:
        other = await start(storage, alice)
        run = await engine.accept(alice, WHY)
        await until(lambda: provider.open_answers)
        assert await storage.attach(other, "new") is Attached.KEPT

        may_go_on.set()
        answered = await engine.result(run)

    assert answered.response == "Because."
    assert provider.closed_early == 0


async def test_runs_that_asked_the_same_before_a_crash_get_an_answer_each(
    settings: Settings, storage: Storage, alice: User
) -> None:
    begun = [await start(storage, alice) for _ in range(3)]
    handles = ["p1", "p2", "p3"]
    listed = [Candidate(handle, is_proven=False) for handle in handles]
    provider = Forgetful(marks_answers=False, listed=listed)

    async with open_engine(settings, storage, provider) as engine:
        await until(lambda: not engine.running)

    kept = [await storage.get_run(alice, run.id) for run in begun]
    assert [run.response for run in kept] == ["Because."] * 3
    assert sorted(str(run.handle) for run in kept) == handles
    assert provider.resumed != []
