"""Runs that fail by a bug again and again."""

import asyncio

import pytest

from llamakeep.domain import Run, RunStatus, User
from llamakeep.engine.recovery.dropped import LONGEST_PAUSE, Dropped
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from tests.engine.engine import WHY, open_engine
from tests.engine.lasting import LastingProvider, Prediction
from tests.fakes import ScriptedProvider
from tests.storage.running import start
from tests.waiting import LONG_ENOUGH, until


class Buggy(Storage):
    """
    A storage that cannot close runs.

    Args:
        storage: Another one on the same database.
        times: How often closing one fails.
        status: Which end cannot be written.
    """

    def __init__(
        self,
        storage: Storage,
        times: float = float("inf"),
        status: RunStatus = RunStatus.SUCCEEDED,
    ) -> None:
        super().__init__(storage._database)
        self.times = times
        self.status = status
        self.tries = 0

    async def finish(self, run: Run) -> bool:
        if run.status is self.status and self.tries < self.times:
            self.tries += 1
            raise ZeroDivisionError
        return await super().finish(run)


def test_a_run_that_fails_again_and_again_rests_longer_each_time() -> None:
    now = [0.0]
    dropped = Dropped(8, clock=lambda: now[0])
    pauses = []
    for _ in range(12):
        dropped.add("run_1")
        began = now[0]
        while dropped.resting():
            now[0] += 1
        pauses.append(now[0] - began)

    assert pauses[:4] == [8, 16, 32, 64]
    assert pauses[-1] == LONGEST_PAUSE


def test_one_that_ended_begins_anew_and_others_are_not_delayed() -> None:
    now = [0.0]
    dropped = Dropped(8, clock=lambda: now[0])
    for _ in range(3):
        dropped.add("run_1")
    dropped.add("run_2")
    assert list(dropped.resting()) == ["run_1", "run_2"]

    dropped.discard("run_1")
    dropped.add("run_1")
    now[0] += 8

    assert not dropped.resting()


def test_a_pause_is_ended_early_once_only() -> None:
    dropped = Dropped(8, clock=lambda: 0)
    dropped.add("run_1")

    dropped.wake("run_1")
    assert not dropped.resting()
    dropped.add("run_1")
    dropped.wake("run_1")
    dropped.wake("run_of_somebody_else")

    assert list(dropped.resting()) == ["run_1"]


def test_what_another_process_has_tried_since_is_forgotten() -> None:
    now = [0.0]
    dropped = Dropped(8, clock=lambda: now[0])
    dropped.add("run_1")
    now[0] += LONGEST_PAUSE + 60

    dropped.add("run_2")

    assert list(dropped._pauses) == ["run_2"]


async def test_a_run_that_cannot_be_closed_by_a_bug_is_tried_less_and_less_often(
    settings: Settings,
    storage: Storage,
    alice: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    buggy = Buggy(storage)
    provider = LastingProvider()
    async with open_engine(settings, buggy, provider) as engine:
        run = await engine.accept(alice, WHY)
        await until(lambda: buggy.tries == 3)

        await asyncio.sleep(0.6)  # 24 looks

        # After 25, 50, 100, 200, 400 and 800 ms.
        assert buggy.tries <= 6
    said = [record for record in caplog.records if "by a bug" in record.message]
    assert len(said) == buggy.tries
    assert all(run.id in record.message for record in said)
    assert len(provider.predictions) == 1


async def test_a_run_whose_bug_is_gone_ends(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    buggy = Buggy(storage, times=3)
    async with open_engine(settings, buggy, LastingProvider()) as engine:
        run = await engine.accept(alice, WHY)

        async with asyncio.timeout(LONG_ENOUGH):
            assert (await engine.result(run)).response == "Hello, world"
    assert buggy.tries == 3


async def test_a_run_that_rests_can_be_canceled_at_once(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 4000})  # it rests for 1000 s
    buggy = Buggy(storage)
    async with open_engine(settings, buggy, ScriptedProvider()) as engine:
        run = await engine.accept(alice, WHY)
        await until(lambda: buggy.tries and not engine.running)

        async with asyncio.timeout(LONG_ENOUGH):
            canceled = await engine.cancel(alice, run.id)

    assert canceled.status is RunStatus.CANCELED


async def test_a_cancel_that_fails_by_a_bug_ends_no_run_and_is_tried_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    class CannotCancel(LastingProvider):
        bugs = 2

        async def cancel(self, handle: str) -> None:
            if self.bugs:
                self.bugs -= 1
                raise ZeroDivisionError
            await super().cancel(handle)

    settings = settings.model_copy(update={"lease": 0.1})
    provider = CannotCancel()
    provider.predictions = [Prediction("p0", "run_0")]
    run = await start(storage, alice, provider="lasting")
    await storage.attach(run, "p0")
    await storage.request_cancel(alice, run.id)
    async with open_engine(settings, storage, provider) as engine:
        async with asyncio.timeout(LONG_ENOUGH):
            canceled = await engine.end_of(run)

    assert canceled.status is RunStatus.CANCELED
    assert provider.predictions[0].is_canceled


async def test_a_run_whose_task_is_stopped_before_it_begins_is_taken_up_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    short = {"lease": 0.1, "settle_time": 0.01}
    settings = settings.model_copy(update={**short, "max_running": 1})
    async with open_engine(settings, storage, LastingProvider()) as engine:
        await start(storage, alice, provider="lasting")
        [run] = await storage.take_over(engine.node_id)
        engine._runner.take_up(run)

        engine._runner.abandon(run.id)

        async with asyncio.timeout(LONG_ENOUGH):
            assert (await engine.end_of(run)).response == "Hello, world"
        await until(lambda: not engine.running)
        assert engine._runner.turns.slots.free == 1


async def test_servers_do_not_hand_a_run_that_rests_to_one_another(
    settings: Settings, clean_postgres_url: str
) -> None:
    settings = settings.model_copy(update={"lease": 8})  # it rests for 2 s at first
    async with open_storage(clean_postgres_url) as storage:
        alice = await storage.add_user("alice", None)
        buggy = Buggy(storage)
        async with open_engine(settings, buggy, LastingProvider()) as engine:
            run = await engine.accept(alice, WHY)
            await until(lambda: buggy.tries and not engine.running)

            held = await storage.held_runs(engine.node_id)

            assert [each.run_id for each in held] == [run.id]
            assert await storage.take_over("node_2") == []
