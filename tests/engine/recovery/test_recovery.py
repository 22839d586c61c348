import asyncio
from dataclasses import replace

import pytest

from llamakeep.domain import Message, Run, RunStatus, User
from llamakeep.engine import Position
from llamakeep.errors import RunInterrupted, StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from tests.engine.engine import WHY, Reader, open_engine, until_stored
from tests.fakes import ScriptedProvider
from tests.faulty_storage import FaultyStorage
from tests.storage.running import ended, start
from tests.waiting import until


async def left(storage: Storage, user: User, text: str = "Be") -> Run:
    """Keep a run that a process which died was answering, and return it."""
    run = await start(storage, user)
    await storage.flush([replace(run, response=text, first_word_after=5)])
    return run


async def test_an_interrupted_run_is_answered_again_where_that_costs_nothing(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)
    provider = ScriptedProvider(["Be", "cause."], is_free=True)

    async with open_engine(settings, storage, provider) as engine:
        result = await engine.result(run)

    assert result.status is RunStatus.SUCCEEDED
    assert (result.response, result.attempt) == ("Because.", 2)
    assert [request.attempt for request in provider.requests] == [2]
    assert await storage.get_run(alice, run.id) == result
    assert result.first_word_after == 5  # the client read it then


async def test_an_interrupted_run_is_not_paid_for_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)
    provider = ScriptedProvider(is_free=False)

    async with open_engine(settings, storage, provider) as engine:
        with pytest.raises(RunInterrupted):
            await engine.result(run)

    stored = await storage.get_run(alice, run.id)
    assert stored.status is RunStatus.INTERRUPTED
    assert stored.response == "Be"
    assert provider.requests == []


@pytest.mark.parametrize("is_free", [True, False])
async def test_the_operator_decides_whether_interrupted_runs_are_answered_again(
    settings: Settings, storage: Storage, alice: User, is_free: bool
) -> None:
    settings = settings.model_copy(update={"retry_interrupted": not is_free})
    run = await left(storage, alice)
    provider = ScriptedProvider(is_free=is_free)

    async with open_engine(settings, storage, provider) as engine:
        reader = Reader()
        await reader.read(engine, run)

    assert len(provider.requests) == (0 if is_free else 1)


async def test_a_run_that_its_provider_never_heard_of_is_answered(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, status=RunStatus.QUEUED, attempt=0)
    provider = ScriptedProvider(is_free=False)

    async with open_engine(settings, storage, provider) as engine:
        result = await engine.result(run)

    assert result.response == "Hello, world"
    assert len(provider.requests) == 1


async def test_a_run_that_was_to_be_canceled_is_canceled(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)
    await storage.request_cancel(alice, run.id)
    provider = ScriptedProvider(is_free=True)

    async with open_engine(settings, storage, provider) as engine:
        stored = await engine.cancel(alice, run.id)

    assert stored.status is RunStatus.CANCELED
    assert stored.response == "Be"
    assert provider.requests == []


async def test_a_run_whose_provider_is_gone_is_interrupted_and_says_so(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)

    async with open_engine(settings, storage, ScriptedProvider(name="new")) as engine:
        with pytest.raises(RunInterrupted, match="'scripted' is not configured"):
            await engine.result(run)

    assert (await storage.get_run(alice, run.id)).response == "Be"


async def test_a_conversation_is_told_again_as_it_was(
    settings: Settings, storage: Storage, alice: User
) -> None:
    earlier = ended(await start(storage, alice, "Really?"), response="Yes.")
    await storage.finish(earlier)
    run = await start(storage, alice, conversation_id=earlier.conversation_id)
    later = await start(storage, alice, conversation_id=earlier.conversation_id)
    await storage.finish(ended(later, response="Later."))
    provider = ScriptedProvider(is_free=True)

    async with open_engine(settings, storage, provider) as engine:
        await engine.result(run)

    assert provider.requests[0].messages == (
        Message("user", "Really?"),
        Message("assistant", "Yes."),
        Message("user", "Why?"),
    )


async def test_a_returning_reader_does_not_notice_a_crash_when_the_text_is_the_same(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    run = await left(storage, alice, "Because")
    provider = ScriptedProvider(["Be", "cause", go_on, "."], is_free=True)
    reader = await _reader_at(storage, alice, run, "Beca")

    async with open_engine(settings, storage, provider) as engine:
        reading = asyncio.ensure_future(reader.read(engine, run))
        await reader.has_read.wait()
        go_on.set()
        await reading

    assert (reader.text, reader.resets) == ("Because.", 0)


async def test_a_returning_reader_is_reset_once_when_the_text_differs(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice, "Because")
    provider = ScriptedProvider(["Be", "fore", " that", "."], is_free=True)
    reader = await _reader_at(storage, alice, run, "Beca")

    async with open_engine(settings, storage, provider) as engine:
        await reader.read(engine, run)

    assert (reader.text, reader.resets) == ("Before that.", 1)


async def test_a_second_crash_in_the_repetition_is_survived(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 0})
    run = await left(storage, alice, "Because")
    provider = ScriptedProvider(["Bec", asyncio.Event()], is_free=True)
    reader = await _reader_at(storage, alice, run, "Be")
    async with open_engine(settings, storage, provider) as engine:
        reading = asyncio.ensure_future(reader.read(engine, run))
        await until(lambda: reader.text == "Bec")
        reading.cancel()
    assert (await storage.get_run(alice, run.id)).response == "Because"

    provider.script = ["Bec", "ause", "."]
    async with open_engine(settings, storage, provider) as engine:
        await reader.read(engine, run)

    assert reader.text == "Because."
    assert (await storage.get_run(alice, run.id)).attempt == 3


class FullStorage(Storage):
    """A storage that refuses to finish runs until it has room."""

    has_room = False

    async def finish(self, run: Run) -> bool:
        if not self.has_room:
            raise StorageUnavailable("The disk is full.")
        return await super().finish(run)


async def test_what_was_interrupted_is_said_even_if_the_disk_was_full_at_the_start(
    settings: Settings, storage: Storage, alice: User
) -> None:
    full = FullStorage(storage._database)
    runs = [await left(storage, alice) for _ in range(3)]

    async with open_engine(settings, full, ScriptedProvider()) as engine:
        with pytest.raises(StorageUnavailable):
            await engine.result(runs[0])
        full.has_room = True
        await until(lambda: not engine.running)

    assert [run.status for run in await storage.history(alice)] == [
        RunStatus.INTERRUPTED
    ] * 3


async def test_runs_of_a_dead_node_are_finished_by_the_others(
    settings: Settings, clean_postgres_url: str
) -> None:
    settings = settings.model_copy(update={"lease": 0.06})
    provider = ScriptedProvider(is_free=True)
    async with (
        open_storage(clean_postgres_url) as storage,
        open_engine(settings, storage, provider) as engine,
    ):
        alice = await storage.add_user("alice", None)

        run = await start(storage, alice)

        assert (await engine.result(run)).response == "Hello, world"


async def test_runs_of_a_living_node_are_left_alone(
    settings: Settings, clean_postgres_url: str
) -> None:
    settings = settings.model_copy(update={"lease": 1})
    go_on = asyncio.Event()
    here, there = (ScriptedProvider(["Be", go_on], is_free=True) for _ in range(2))
    async with (
        open_storage(clean_postgres_url) as storage,
        open_engine(settings, storage, here) as engine,
        open_engine(settings, looking := FaultyStorage(storage), there) as other,
    ):
        alice = await storage.add_user("alice", None)
        run = await engine.accept(alice, WHY)
        reading = asyncio.ensure_future(other.result(run))
        await until_stored(storage, alice, run, "Be")
        lease_over = asyncio.get_running_loop().time() + 1.5
        looks = looking.calls["take_over"]
        await until(
            lambda: (
                asyncio.get_running_loop().time() > lease_over
                and looking.calls["take_over"] > looks
            )
        )

        go_on.set()

        assert (await reading).attempt == 1
    assert there.requests == []


async def test_a_run_that_others_may_take_over_is_never_waited_for_at_its_provider(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Until the whole answer is there, nobody is told what to cancel or to go on with.
    monkeypatch.setattr(Storage, "is_sole_owner", False)
    provider = ScriptedProvider()
    async with open_engine(settings, storage, provider) as engine:
        await engine.result(await engine.accept(alice, WHY, is_followed=False))

    assert [request.is_followed for request in provider.requests] == [True]


async def test_whoever_must_leave_runs_alone_does(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)
    async with open_engine(settings, storage, take_over=False):
        pass

    assert (await storage.get_run(alice, run.id)).attempt == 1


async def _reader_at(storage: Storage, user: User, run: Run, text: str) -> Reader:
    """Return somebody who has read `text` before the crash."""
    assert (await storage.get_run(user, run.id)).response.startswith(text)
    return Reader(text=text, position=Position(len(text), run.attempt))
