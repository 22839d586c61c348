import asyncio
from dataclasses import replace

import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.engine import Ended, Position, Reset
from llamakeep.errors import ProviderUnavailable, RunNotFound
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, Reader, open_engine, until_stored
from tests.fakes import ScriptedProvider
from tests.storage.running import ended, start, taken_from
from tests.waiting import LONG_ENOUGH, until

STORY = ("Once", " upon", " a", " time.")
WHOLE = "".join(STORY)


async def test_waiting_streaming_and_returning_clients_get_the_same_text(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([*STORY[:2], go_on, *STORY[2:]])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        waiting = asyncio.ensure_future(engine.result(run))
        streaming, returning = Reader(), Reader()
        reading = asyncio.ensure_future(streaming.read(engine, run))
        await returning.read(engine, run, enough=4)
        await streaming.has_read.wait()

        go_on.set()

        await reading
        await returning.read(engine, run)
        assert (await waiting).response == streaming.text == returning.text == WHOLE
    assert streaming.resets == returning.resets == 0
    assert streaming.end == returning.end == await storage.get_run(alice, run.id)


@pytest.mark.parametrize("offset", range(len(WHOLE) + 1))
async def test_who_joins_late_gets_exactly_the_rest(
    settings: Settings, storage: Storage, alice: User, offset: int
) -> None:
    go_on = asyncio.Event()
    async with open_engine(
        settings, storage, ScriptedProvider([*STORY, go_on])
    ) as engine:
        run = await engine.accept(alice, WHY)
        await Reader().read(engine, run, enough=len(WHOLE))
        live, late = (
            Reader(position=Position(offset)),
            Reader(position=Position(offset)),
        )
        reading = asyncio.ensure_future(live.read(engine, run))
        await asyncio.sleep(0)

        go_on.set()
        await reading
        await until(lambda: not engine.running)
        await late.read(engine, run)

    assert live.text == late.text == WHOLE[offset:]
    assert live.resets == late.resets == 0


async def test_who_claims_to_have_more_than_there_is_gets_everything_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider(STORY)) as engine:
        run = await engine.accept(alice, WHY)
        await engine.result(run)
        reader = Reader(position=Position(1000))

        await reader.read(engine, run)

    assert (reader.text, reader.resets) == (WHOLE, 1)


async def test_a_run_that_ends_without_text_ends_for_its_followers_too(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider([])) as engine:
        run = await engine.accept(alice, WHY)
        reader = Reader()

        await reader.read(engine, run)

    assert reader.text == ""
    assert reader.end is not None
    assert reader.end.status is RunStatus.SUCCEEDED


async def test_followers_see_that_a_silent_run_goes_on(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llamakeep.engine.engine.TICK", 0)
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        updates = engine.follow(run)

        async with asyncio.timeout(LONG_ENOUGH):
            first = await anext(updates)

        assert not isinstance(first, Ended | Reset)
        await updates.aclose()
        await engine.cancel(alice, run.id)


async def test_a_run_of_another_node_is_followed_to_its_end(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await start(storage, alice)
        reader = Reader()
        reading = asyncio.ensure_future(reader.read(engine, run))
        await storage.flush([replace(run, response="Once")])
        await reader.has_read.wait()
        await storage.flush([replace(run, response="Once upon")])

        await storage.finish(ended(run, response=WHOLE))

        await reading
        assert (reader.text, reader.resets) == (WHOLE, 0)
        assert reader.end == await storage.get_run(alice, run.id)


async def test_a_failure_on_another_node_is_told_to_who_waits_here(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await start(storage, alice)
        waiting = asyncio.ensure_future(engine.result(run))

        await storage.finish(
            ended(
                run,
                RunStatus.FAILED,
                error_code="provider-unavailable",
                error_detail="It hung up.",
            )
        )

        with pytest.raises(ProviderUnavailable, match="hung up") as failure:
            await waiting
    assert failure.value.run_id == run.id


async def test_a_run_that_was_taken_from_this_node_is_followed_where_it_went(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["Once", go_on, " bitten."])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        reader = Reader()
        reading = asyncio.ensure_future(reader.read(engine, run))
        await until_stored(storage, alice, run, "Once")
        [taken] = await taken_from(engine.node_id, storage)

        go_on.set()
        await until(lambda: not engine.running)
        await storage.finish(ended(taken, response=WHOLE, common_length=4))

        await reading
    assert reader.text == WHOLE
    assert (await storage.get_run(alice, run.id)).response == WHOLE


async def test_following_ends_when_the_run_is_deleted(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await start(storage, alice)
        reading = asyncio.ensure_future(Reader().read(engine, run))
        await asyncio.sleep(0.01)

        await storage.delete_run(alice, run.id)

        with pytest.raises(RunNotFound):
            await reading
