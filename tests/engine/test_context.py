"""What a model is given of a conversation, and in which order it stays."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ByteSize

from llamakeep.domain import NewRun, Run, RunStatus, User, new_id, utc_now
from llamakeep.errors import ContextTooLarge
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import open_engine
from tests.fakes import ScriptedProvider
from tests.storage.running import new_run


async def answered_at(
    storage: Storage, user: User, hours: float, prompt: str, **facts: object
) -> Run:
    """Keep a run as a computer does whose clock is some hours ahead."""
    now = utc_now() + timedelta(hours=hours)
    run = new_run(user, prompt, created_at=now, id=new_id("run_", at=now), **facts)
    run = replace(
        run, status=RunStatus.SUCCEEDED, response=f"{prompt}!", finished_at=now
    )
    return await storage.accept(run, node=None)


@pytest.mark.parametrize("names_the_last", [False, True])
@pytest.mark.parametrize("hours", [2, 24 * 400, 3 / 3600])
async def test_what_follows_sorts_behind_it_whatever_the_clocks_say(
    settings: Settings,
    storage: Storage,
    alice: User,
    hours: float,
    *,
    names_the_last: bool,
) -> None:
    first = await answered_at(storage, alice, hours, "P1")
    here = first.conversation_id
    # Some milliseconds later: ids of one millisecond have no order.
    later = hours + 0.000001
    second = await answered_at(storage, alice, later, "P2", conversation_id=here)
    provider = ScriptedProvider(["."])
    last = second
    async with open_engine(settings, storage, provider) as engine:
        for prompt in ("P3", "P4"):
            asked = NewRun(prompt=prompt, conversation_id=here)
            if names_the_last:
                asked = NewRun(prompt=prompt, previous_run_id=last.id)
            last = await engine.result(await engine.accept(alice, asked))
            assert last.id > second.id
            assert last.created_at <= utc_now()

    heard = [each.content for each in provider.requests[-1].messages]
    history = await storage.history(alice, oldest_first=True)
    assert heard == ["P1", "P1!", "P2", "P2!", "P3", ".", "P4"]
    assert [run.prompt for run in history] == ["P1", "P2", "P3", "P4"]


async def test_a_clock_that_was_ahead_moves_no_other_conversation(
    settings: Settings, storage: Storage, alice: User
) -> None:
    ahead = await answered_at(storage, alice, 2, "P1")
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        following = NewRun(prompt="P2", conversation_id=ahead.conversation_id)
        later = await engine.result(await engine.accept(alice, following))
        other = await engine.result(await engine.accept(alice, NewRun(prompt="P3")))

    assert other.id < ahead.id < later.id


async def test_a_prompt_with_all_that_it_brings_along_has_a_bound(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_context_size": ByteSize(1000)})
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        await engine.result(await engine.accept(alice, NewRun(prompt="x" * 1000)))
        with pytest.raises(ContextTooLarge, match="Nothing was stored"):
            await engine.accept(alice, NewRun(prompt="ä" * 500, system_prompt="x"))

    assert len(await storage.history(alice)) == 1


async def test_no_answer_is_left_out_of_a_long_conversation(
    settings: Settings, storage: Storage, alice: User
) -> None:
    runs = [
        replace(
            new_run(alice, str(number), conversation_id="conv_1"),
            status=RunStatus.SUCCEEDED,
        )
        for number in range(600)
    ]
    await storage.import_runs(alice, runs)
    provider = ScriptedProvider()
    async with open_engine(settings, storage, provider) as engine:
        asked = NewRun(prompt="And?", conversation_id="conv_1")
        await engine.result(await engine.accept(alice, asked))

    assert len(provider.requests[-1].messages) == 2 * 600 + 1


async def test_what_waits_hears_the_same_as_what_need_not(
    settings: Settings, storage: Storage, alice: User
) -> None:
    long = "x" * 100_000
    first = await answered_at(storage, alice, 0, long)
    provider = ScriptedProvider(["."], before_accepting=asyncio.Event())
    settings = settings.model_copy(update={"max_running": 1})
    async with open_engine(settings, storage, provider) as engine:
        await engine.accept(alice, NewRun(prompt="Other"))
        asked = NewRun(prompt="And?", conversation_id=first.conversation_id)
        run = await engine.accept(alice, asked)
        assert provider.before_accepting is not None
        provider.before_accepting.set()
        await engine.result(run)

    assert run.status is RunStatus.QUEUED
    heard = [each.content for each in provider.requests[-1].messages]
    assert heard == [long, f"{long}!", "And?"]
