import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from llamakeep.domain import Message, NewRun, Parameters, Run, RunStatus, Usage, User
from llamakeep.errors import (
    ConversationNotFound,
    IdempotencyKeyReused,
    NoProvider,
    PromptRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RunFailed,
    RunNotAnswered,
    RunNotFound,
    ServerBusy,
    StorageUnavailable,
    UnknownModel,
    UnsupportedParameter,
)
from llamakeep.providers.base import CompletionRequest, Event
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.lookups import IdempotencyKey
from tests.engine.engine import WHY, Reader, open_engine, until_stored
from tests.fakes import ScriptedProvider
from tests.waiting import until


async def test_an_answer_is_on_the_disk_when_the_client_has_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        result = await engine.result(await engine.accept(alice, WHY))

        assert await storage.history(alice) == [result]
    assert result.response == "Hello, world"
    assert result.status is RunStatus.SUCCEEDED
    assert (result.provider, result.model) == ("scripted", "parrot")
    assert result.usage == Usage(input_tokens=7, output_tokens=3)
    assert result.finish_reason == "stop"
    assert result.attempt == 1


class Witness(ScriptedProvider):
    """Looks into the history before it answers."""

    def __init__(self, storage: Storage, user: User) -> None:
        super().__init__()
        self.seen: list[Run] = []
        self._history = partial(storage.history, user)

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        self.seen += await self._history()
        async for event in super().answer(request):
            yield event


async def test_a_prompt_is_on_the_disk_before_the_provider_hears_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    witness = Witness(storage, alice)
    async with open_engine(settings, storage, witness) as engine:
        run = await engine.accept(alice, WHY)
        await engine.result(run)

    assert witness.seen == [run]


async def test_a_provider_is_asked_what_the_user_asked(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider()
    parameters = Parameters(max_tokens=5, stop=("END",))
    asked = NewRun(prompt="Why?", system_prompt="Be kind.", parameters=parameters)
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.result(await engine.accept(alice, asked))

    [request] = provider.requests
    assert request.messages == (Message("system", "Be kind."), Message("user", "Why?"))
    assert request.parameters == parameters
    assert (request.run_id, request.attempt) == (run.id, 1)


async def test_a_conversation_is_told_to_the_provider_from_its_beginning(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(["Because."])
    async with open_engine(settings, storage, provider) as engine:
        first = NewRun(prompt="Why?", system_prompt="Be kind.")
        topic = (await engine.result(await engine.accept(alice, first))).conversation_id

        further = NewRun(prompt="Really?", conversation_id=topic)
        run = await engine.result(await engine.accept(alice, further))

    assert run.conversation_id == topic
    assert provider.requests[-1].messages == (
        Message("system", "Be kind."),
        Message("user", "Why?"),
        Message("assistant", "Because."),
        Message("user", "Really?"),
    )


async def test_what_a_client_brings_along_comes_right_before_the_prompt(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider()
    said = (Message("user", "Hi"), Message("assistant", "Hello"))
    async with open_engine(settings, storage, provider) as engine:
        asked = NewRun(prompt="Why?", system_prompt="Be kind.", prior_messages=said)
        run = await engine.result(await engine.accept(alice, asked))

    assert run.prior_messages == said
    assert provider.requests[-1].messages == (
        Message("system", "Be kind."),
        *said,
        Message("user", "Why?"),
    )


async def test_a_conversation_can_go_on_behind_any_of_its_answers(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(["Because."])
    async with open_engine(settings, storage, provider) as engine:
        first = NewRun(prompt="Why?", system_prompt="Be kind.")
        root = await engine.result(await engine.accept(alice, first))
        left = NewRun(prompt="Left?", previous_run_id=root.id)
        await engine.result(await engine.accept(alice, left))

        right = NewRun(
            prompt="Right?", previous_run_id=root.id, inherits_system_prompt=False
        )
        run = await engine.result(await engine.accept(alice, right))

    assert run.conversation_id == root.conversation_id
    assert provider.requests[-1].messages == (
        Message("user", "Why?"),
        Message("assistant", "Because."),
        Message("user", "Right?"),
    )


async def test_nothing_goes_on_behind_an_answer_that_is_not_there(
    settings: Settings, storage: Storage, alice: User
) -> None:
    refusal = PromptRejected("No.")
    provider = ScriptedProvider(refusal=refusal)
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        with pytest.raises(PromptRejected):
            await engine.result(run)

        with pytest.raises(RunNotAnswered):
            await engine.accept(alice, NewRun(prompt="And?", previous_run_id=run.id))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (NewRun(prompt="?", model="eagle"), UnknownModel),
        (NewRun(prompt="?", previous_run_id="run_unheard"), RunNotFound),
        (NewRun(prompt="?", conversation_id="conv_unheard"), ConversationNotFound),
        (NewRun(prompt="?", parameters=Parameters(seed=1)), UnsupportedParameter),
    ],
)
async def test_what_cannot_be_answered_is_refused_and_not_stored(
    settings: Settings,
    storage: Storage,
    alice: User,
    asked: NewRun,
    expected: type[Exception],
) -> None:
    provider = ScriptedProvider(unsupported=frozenset({"seed"}))
    async with open_engine(settings, storage, provider) as engine:
        with pytest.raises(expected):
            await engine.accept(alice, asked)

    assert await storage.history(alice) == []


async def test_nothing_is_stored_when_nobody_could_answer(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage) as engine:
        with pytest.raises(NoProvider):
            await engine.accept(alice, WHY)

    assert await storage.history(alice) == []


async def test_asking_again_with_the_same_key_is_not_asking_twice(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider()
    key = IdempotencyKey("once", b"1" * 32)
    async with open_engine(settings, storage, provider) as engine:
        runs = await asyncio.gather(
            *(engine.accept(alice, WHY, idempotency_key=key) for _ in range(10))
        )
        results = await asyncio.gather(*map(engine.result, runs))

        with pytest.raises(IdempotencyKeyReused):
            await engine.accept(
                alice, WHY, idempotency_key=replace(key, request_digest=b"2" * 32)
            )

    assert {run.id for run in results} == {runs[0].id}
    assert len(provider.requests) == 1
    assert len(await storage.history(alice)) == 1


async def test_a_client_that_only_wants_the_end_is_answered_in_one_step(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider()
    key = IdempotencyKey("once", b"1" * 32)
    async with open_engine(settings, storage, provider) as engine:
        first = await engine.answer(alice, WHY)
        again = [await engine.answer(alice, WHY, idempotency_key=key) for _ in range(2)]

        provider.refusal = PromptRejected("No.")
        with pytest.raises(PromptRejected) as refusal:
            await engine.answer(alice, WHY)

    assert await storage.get_run(alice, first.id) == first
    assert again[0] == again[1] != first
    assert refusal.value.run_id not in {None, first.id, again[0].id}
    assert len(provider.requests) == 3
    assert [request.is_followed for request in provider.requests] == [False] * 3


async def test_a_client_that_only_wants_the_end_is_told_that_nothing_was_stored(
    settings: Settings, storage: Storage, alice: User
) -> None:
    failing = FailingStorage(storage._database)
    failing.failures = 1
    async with open_engine(settings, failing, ScriptedProvider()) as engine:
        with pytest.raises(StorageUnavailable, match="The disk is full") as error:
            await engine.answer(alice, WHY)

        assert (await engine.answer(alice, WHY)).response == "Hello, world"
    assert error.value.run_id is None
    assert len(await storage.history(alice)) == 1


async def test_a_run_outlives_the_client_who_asked(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    async with open_engine(
        settings, storage, ScriptedProvider(["Be", go_on, "cause."])
    ) as engine:
        run = await engine.accept(alice, WHY)
        client = asyncio.ensure_future(engine.result(run))
        await until_stored(storage, alice, run, "Be")
        client.cancel()
        await asyncio.wait([client])

        go_on.set()

        assert (await engine.result(run)).response == "Because."


async def test_a_prompt_is_answered_although_its_client_left_while_it_was_stored(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on, "Hello"])
    async with open_engine(settings, storage, provider) as engine:
        client = asyncio.ensure_future(engine.accept(alice, WHY))
        await asyncio.sleep(0)
        client.cancel()
        await until(lambda: engine.running)
        go_on.set()
        await until(lambda: not engine.running)

    [run] = await storage.history(alice)
    assert run.status is RunStatus.SUCCEEDED


async def test_text_is_on_the_disk_while_it_comes(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    async with open_engine(
        settings, storage, ScriptedProvider(["Be", go_on, "cause."])
    ) as engine:
        run = await engine.accept(alice, WHY)

        stored = await until_stored(storage, alice, run, "Be")

        assert stored.status is RunStatus.PROCESSING
        go_on.set()
        await engine.result(run)


async def test_prompts_wait_in_a_queue_for_a_free_slot(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 2})
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on, "Hello"])
    async with open_engine(settings, storage, provider) as engine:
        runs = await asyncio.gather(*(engine.accept(alice, WHY) for _ in range(5)))
        await until(lambda: len(provider.requests) == 2)

        assert [run.status for run in runs] == [
            *[RunStatus.STARTING] * 2,
            *[RunStatus.QUEUED] * 3,
        ]
        assert provider.open_answers == 2
        go_on.set()
        results = await asyncio.gather(*map(engine.result, runs))

    assert [run.response for run in results] == ["Hello"] * 5
    assert [run.attempt for run in results] == [1] * 5


async def test_a_full_queue_refuses_prompts_and_stores_nothing(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1, "max_queued": 2})
    go_on = asyncio.Event()
    async with open_engine(
        settings, storage, ScriptedProvider([go_on, "Hello"])
    ) as engine:
        runs = await asyncio.gather(
            *(engine.accept(user, WHY) for user in (alice, alice, bob, alice, bob)),
            return_exceptions=True,
        )

        assert [type(run) for run in runs[3:]] == [ServerBusy, ServerBusy]
        assert len(await storage.history(alice)) == 2
        assert len(await storage.history(bob)) == 1
        go_on.set()
        await until(lambda: not engine.running)
        await engine.result(await engine.accept(alice, WHY))


async def test_a_refused_prompt_is_kept_with_the_reason(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(refusal=PromptRejected("It is too long."))
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)

        with pytest.raises(PromptRejected, match="too long") as refusal:
            await engine.answering(run)

        with pytest.raises(PromptRejected, match="too long"):
            await engine.result(run)
    assert refusal.value.run_id == run.id
    [stored] = await storage.history(alice)
    assert stored.status is RunStatus.FAILED
    assert (stored.error_code, stored.error_detail) == (
        "prompt-rejected",
        "It is too long.",
    )


async def test_who_streams_learns_when_the_provider_has_begun(
    settings: Settings, storage: Storage, alice: User
) -> None:
    go_on = asyncio.Event()
    async with open_engine(settings, storage, ScriptedProvider([go_on])) as engine:
        run = await engine.accept(alice, WHY)

        await engine.answering(run)

        assert (await storage.get_run(alice, run.id)).status.is_final is False
        go_on.set()
        await engine.result(run)


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(["Be", "ca", ProviderUnavailable("It hung up.")])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        reader = Reader()

        await reader.read(engine, run)

        with pytest.raises(ProviderUnavailable, match="hung up"):
            await engine.result(run)
    [stored] = await storage.history(alice)
    assert stored.status is RunStatus.FAILED
    assert stored.error_code == "provider-unavailable"
    assert stored.response == reader.text == "Beca"
    assert reader.end == stored


async def test_a_run_that_takes_too_long_is_ended_with_its_text_so_far(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"run_timeout": 0.05})
    provider = ScriptedProvider(["Be", asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)

        with pytest.raises(ProviderTimeout, match=r"0\.05 seconds"):
            await engine.result(run)

    [stored] = await storage.history(alice)
    assert (stored.status, stored.response) == (RunStatus.FAILED, "Be")
    assert provider.open_answers == 0
    assert provider.closed_early == 1


async def test_a_bug_in_a_provider_ends_the_run_and_only_the_run(
    settings: Settings, storage: Storage, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    provider = ScriptedProvider(["Be", ArithmeticError("secret"), "cause."])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)

        with pytest.raises(RunFailed) as failure:
            await engine.result(run)

        provider.script = ["Because."]
        assert (await engine.result(await engine.accept(alice, WHY))).response
    assert "secret" not in failure.value.detail
    [said] = [one for one in caplog.records if run.id in one.getMessage()]
    assert said.levelno == logging.ERROR
    assert "secret" in caplog.text
    stored = await storage.get_run(alice, run.id)
    assert (stored.status, stored.response) == (RunStatus.FAILED, "Be")
    assert stored.error_code == "run-failed"


class FailingStorage(Storage):
    """A storage that cannot write `failures` times."""

    failures = 0

    async def accept(self, run: Run, **options: Any) -> Run:
        self._fail()
        return await super().accept(run, **options)

    async def finish(self, run: Run) -> bool:
        self._fail()
        return await super().finish(run)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("The disk is full.")


async def test_an_answer_that_cannot_be_stored_is_not_given_away_but_kept_for_later(
    settings: Settings, storage: Storage, alice: User
) -> None:
    failing = FailingStorage(storage._database)
    async with open_engine(settings, failing, ScriptedProvider()) as engine:
        run = await engine.accept(alice, WHY)
        failing.failures = 2

        with pytest.raises(StorageUnavailable, match="The disk is full") as failure:
            await engine.result(run)

        assert failure.value.run_id == run.id
        assert (await storage.get_run(alice, run.id)).status.is_final is False
        stored = await until_stored(storage, alice, run, "Hello, world")
        await until(lambda: not engine.running)
        assert await engine.result(run) == await storage.get_run(alice, run.id)
    assert stored.attempt == 1


async def test_a_prompt_that_cannot_be_stored_is_not_answered(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider()
    failing = FailingStorage(storage._database)
    failing.failures = 1
    async with open_engine(settings, failing, provider) as engine:
        with pytest.raises(StorageUnavailable):
            await engine.accept(alice, WHY)

        assert engine.running == 0
    assert provider.requests == []
    assert await storage.history(alice) == []
