"""Who holds a run, and what becomes of those that nobody holds."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from llamakeep.domain import Run, RunStatus, User, utc_now
from llamakeep.engine.recovery.leases import last_turn
from llamakeep.errors import OutcomeUnknown
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.leases import Held
from tests.engine.engine import WHY, Reader, open_engine
from tests.engine.lasting import LastingProvider
from tests.fakes import ScriptedProvider
from tests.faulty_storage import FaultyStorage
from tests.storage.running import ended, new_run, start, taken_from
from tests.waiting import until

LATE = 60.0


async def test_who_lost_a_run_stops_paying_for_it_at_the_next_renewal(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    provider = ScriptedProvider(["Be", asyncio.Event()])
    async with open_engine(settings, storage, provider, take_over=False) as engine:
        run = await engine.accept(alice, WHY)
        reader = Reader()
        reading = asyncio.create_task(reader.read(engine, run))
        await reader.has_read.wait()

        [taken] = await taken_from(engine.node_id, storage)

        await until(lambda: provider.closed_early)
        assert not engine.running
        await storage.finish(
            ended(taken, RunStatus.INTERRUPTED, error_code="run-interrupted")
        )
        assert (await reading).status is RunStatus.INTERRUPTED


async def test_a_prediction_that_another_node_follows_is_not_canceled_by_who_lost_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    provider = LastingProvider()
    go_on = asyncio.Event()
    provider.script = ["Hello", go_on, ", world"]
    async with open_engine(settings, storage, provider, take_over=False) as engine:
        run = await engine.accept(alice, WHY)
        reader = Reader()
        reading = asyncio.create_task(reader.read(engine, run))
        await reader.has_read.wait()

        [taken] = await taken_from(engine.node_id, storage)
        assert taken.handle == "p0"
        await asyncio.sleep(0.2)  # some renewals
        await storage.finish(ended(taken, response="Hello, world"))

        assert (await reading).response == "Hello, world"
        go_on.set()
        await until(lambda: not engine.running)
    assert not provider.predictions[0].is_canceled


async def test_a_run_that_is_being_claimed_is_not_taken_for_lost(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1, "max_running": 1})

    class SlowToTell(Storage):
        async def claim(self, run: Run) -> bool:
            is_claimed = await super().claim(run)
            await asyncio.sleep(0.2)  # some renewals
            return is_claimed

    slow = SlowToTell(storage._database)
    async with open_engine(settings, slow, ScriptedProvider()) as engine:
        runs = [await engine.accept(alice, WHY) for _ in range(2)]

        results = [await engine.result(run) for run in runs]

    assert [run.response for run in results] == ["Hello, world"] * 2
    assert [run.attempt for run in results] == [1, 1]


async def test_a_run_that_is_taken_over_while_it_is_stored_is_not_asked_for_here(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    may_tell = asyncio.Event()

    class SlowToTell(Storage):
        joined = 0

        async def accept(self, run: Run, **how: Any) -> Run:
            stored = await super().accept(run, **how)
            await may_tell.wait()
            return stored

        async def join(self, *which: Any, **how: Any) -> Sequence[Held]:
            held = await super().join(*which, **how)
            self.joined += 1
            return held

    slow, provider = SlowToTell(storage._database), LastingProvider()
    async with open_engine(settings, slow, provider, take_over=False) as engine:
        accepting = asyncio.create_task(engine.accept(alice, WHY))
        [taken] = await taken_from(engine.node_id, storage)
        await until(lambda: slow.joined > 1)  # the first time is at the start
        may_tell.set()
        run = await accepting
        await until(lambda: not engine.running)
        await storage.finish(ended(taken, response="Because."))

        assert (await engine.result(run)).response == "Because."
    assert provider.predictions == []


async def test_leases_are_renewed_while_texts_cannot_be_written(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    slow = FaultyStorage(storage, delays={"flush": LATE})
    provider = ScriptedProvider(["Be", asyncio.Event()])
    async with open_engine(settings, slow, provider) as engine:
        run = await engine.accept(alice, WHY)
        await until(lambda: slow.calls["flush"])
        renewed = slow.calls["renew"]

        await until(lambda: slow.calls["renew"] > renewed + 2)

        assert slow.calls["flush"] == 1
        await engine.cancel(alice, run.id)


async def test_an_orderly_stop_leaves_runs_to_others_at_once(
    settings: Settings, clean_postgres_url: str
) -> None:
    settings = settings.model_copy(update={"lease": LATE, "shutdown_grace": 0})
    provider = LastingProvider()
    provider.script = ["Be", asyncio.Event()]
    async with open_storage(clean_postgres_url) as storage:
        alice = await storage.add_user("alice", None)
        async with open_engine(settings, storage, provider) as engine:
            run = await engine.accept(alice, WHY)
            await until(lambda: provider.predictions)

        taken = await storage.take_over("node_2")

    assert [one.id for one in taken] == [run.id]


async def test_left_runs_are_taken_up_as_slots_become_free(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 3})
    left = [
        await start(storage, alice, status=RunStatus.QUEUED, attempt=0)
        for _ in range(10)
    ]
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on, "Hello"])
    async with open_engine(settings, storage, provider) as engine:
        assert engine.running == 3
        await until(lambda: provider.open_answers == 3)

        go_on.set()

        results = [await engine.result(run) for run in left]
    assert [run.response for run in results] == ["Hello"] * 10
    first = {request.run_id for request in provider.requests[:3]}
    assert first == set(sorted(run.id for run in left)[:3])


async def test_a_left_run_that_is_not_taken_up_yet_can_be_canceled_and_deleted(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1})
    left = [
        await start(storage, alice, status=RunStatus.QUEUED, attempt=0)
        for _ in range(3)
    ]
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        await until(lambda: provider.open_answers)

        async with asyncio.timeout(5):
            canceled = await engine.cancel(alice, left[1].id)
            await engine.delete(alice, left[2].id)

        assert canceled.status is RunStatus.CANCELED
        await engine.cancel(alice, left[0].id)
    assert len(await storage.history(alice)) == 2


async def test_a_run_that_no_task_has_is_taken_up_without_a_restart(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await storage.accept(
            new_run(alice, status=RunStatus.QUEUED, attempt=0),
            node=engine.node_id,
        )

        async with asyncio.timeout(5):
            assert (await engine.result(run)).response == "Hello, world"


async def test_who_is_stopped_while_a_prompt_is_stored_is_not_told_that_it_was_not(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 0})
    slow = FaultyStorage(storage, delays={"accept": LATE})
    async with open_engine(settings, slow, ScriptedProvider()) as engine:
        asking = asyncio.create_task(engine.accept(alice, WHY))
        await until(lambda: slow.calls["accept"])

        await engine.close()

        with pytest.raises(OutcomeUnknown, match="not known") as error:
            await asking
    assert "nothing was stored" not in error.value.detail.lower()


@pytest.mark.slow
async def test_a_prompt_whose_outcome_stays_unknown_is_answered_all_the_same(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llamakeep.engine.storing.STORING_PAUSES", (0.01, 0.01))
    settings = settings.model_copy(update={"lease": 0.1, "retry_interrupted": True})
    broken = FaultyStorage(storage, {"accept": 3}, is_done=True)
    provider = ScriptedProvider()
    async with open_engine(settings, broken, provider) as engine:
        with pytest.raises(OutcomeUnknown):
            await engine.accept(alice, WHY)

        [run] = await storage.history(alice)
        assert (await engine.result(run)).response == "Hello, world"
    assert len(provider.requests) == 1


async def test_a_long_text_is_not_written_again_for_every_word(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llamakeep.engine.upkeep.WRITTEN_PER_SECOND", 1)
    settings = settings.model_copy(update={"flush_interval": 0.01})
    counting = FaultyStorage(storage)
    more, end = asyncio.Event(), asyncio.Event()
    provider = ScriptedProvider(["x" * 100, more, "y" * 100, end])
    async with open_engine(settings, counting, provider) as engine:
        run = await engine.accept(alice, WHY)
        await until(lambda: counting.calls["flush"])

        more.set()
        await asyncio.sleep(0.1)

        assert counting.calls["flush"] == 1
        end.set()
        assert len((await engine.result(run)).response) == 200


async def test_who_follows_another_nodes_run_reads_what_is_new_and_the_end(
    settings: Settings, storage: Storage, alice: User
) -> None:
    counting = FaultyStorage(storage)
    async with open_engine(settings, counting, take_over=False) as engine:
        run = await start(storage, alice)
        reader = Reader()
        reading = asyncio.create_task(reader.read(engine, run))
        for text in ("Once", "Once upon", "Once upon a time 😀"):
            await storage.flush([replace(run, response=text)])
            await until(partial(lambda text: reader.text == text, text))
        assert counting.calls["get_run"] == 0

        await storage.finish(ended(run, response="Once upon a time 😀."))

        assert (await reading).response == reader.text
    assert counting.calls["get_run"] == 1
    assert reader.resets == 0


def test_users_take_turns_from_one_portion_to_the_next() -> None:
    a, b, c = (User(id_, id_, utc_now()) for id_ in "abc")

    def last(*users: User, before: str) -> str:
        return last_turn([new_run(user) for user in users], before)

    assert last(before="b") == "b"
    assert last(a, b, c, before="") == "c"
    assert last(a, b, c, a, before="") == "a"
    assert last(c, a, before="b") == "a"
