"""What is asked of a model that was just said not to answer, and when again."""

import asyncio
from asyncio import CancelledError
from dataclasses import replace
from functools import partial

import pytest

from llamakeep.domain import Run, RunStatus, User, utc_now
from llamakeep.engine import circuits
from llamakeep.engine.circuits import models as model_breakers
from llamakeep.engine.circuits.models import PROBED_AGAIN, ModelBreakers
from llamakeep.engine.circuits.rules import FAILURES, PROBE_TIME
from llamakeep.errors import (
    PromptRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider

RUN = Run(
    id="run_1",
    user_id="user_1",
    status=RunStatus.STARTING,
    attempt=1,
    provider="openai",
    model="m",
    prompt="Hi",
    created_at=utc_now(),
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def left(of: ModelBreakers, run: Run = RUN) -> float | None:
    """Return for how long the breaker of a run's model stays open, if it is."""
    try:
        of.check(run)
    except ProviderError as error:
        return error.retry_after
    return None


@pytest.mark.parametrize("kind", [ProviderRateLimited, ProviderUnavailable])
def test_a_model_is_left_alone_for_as_long_as_its_server_says(
    kind: type[ProviderError],
) -> None:
    clock = Clock()
    all_of_them = ModelBreakers(10, clock)

    all_of_them.failed(RUN, kind("Slow down.", retry_after=7))
    clock.now += 2
    with pytest.raises(kind, match=r"Slow down\. .* kept") as caught:
        all_of_them.check(RUN)

    assert caught.value.retry_after == 5
    assert left(all_of_them, replace(RUN, model="other")) is None
    clock.now += 5
    assert left(all_of_them) is None


def test_nothing_is_left_alone_for_longer_than_five_minutes() -> None:
    all_of_them = ModelBreakers(10, Clock())

    all_of_them.failed(RUN, ProviderRateLimited(retry_after=86400))

    assert left(all_of_them) == 300


@pytest.mark.parametrize(
    "kind", [ProviderRateLimited, ProviderUnavailable, ProviderTimeout]
)
def test_five_failures_in_a_row_open_it_longer_each_time(
    kind: type[ProviderError],
) -> None:
    clock = Clock()
    all_of_them = ModelBreakers(10, clock)
    for _ in range(FAILURES - 1):
        all_of_them.failed(RUN, kind())
        assert left(all_of_them) is None

    found = []
    for _ in range(5):
        all_of_them.failed(RUN, kind())
        found.append(left(all_of_them))
        clock.now += 100

    assert found == [10, 20, 40, 60, 60]


def test_an_answer_makes_the_count_start_again() -> None:
    all_of_them = ModelBreakers(10, Clock())
    for _ in range(2):
        for _ in range(FAILURES - 1):
            all_of_them.failed(RUN, ProviderUnavailable())
        all_of_them.succeeded(RUN)

    assert left(all_of_them) is None


def test_a_server_that_is_not_there_is_asked_each_time() -> None:
    all_of_them = ModelBreakers(10, Clock())
    not_there = ProviderUnavailable()
    not_there.was_connected = False

    for _ in range(2 * FAILURES):
        all_of_them.failed(RUN, not_there)

    assert left(all_of_them) is None


def test_what_is_known_of_many_models_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_breakers, "MOST", 3)
    all_of_them = ModelBreakers(10, Clock())
    runs = [replace(RUN, model=str(number)) for number in range(5)]

    for run in runs:
        all_of_them.failed(run, ProviderRateLimited(retry_after=7))

    assert [left(all_of_them, run) for run in runs] == [None, None, 7, 7, 7]


PROBE, OTHER, THIRD = (replace(RUN, id=f"run_{number}") for number in range(2, 5))


def half_open(clock: Clock, *, failures: int = 1) -> ModelBreakers:
    """Return breakers of which one was open until now."""
    all_of_them = ModelBreakers(10, clock)
    for _ in range(failures):
        all_of_them.failed(RUN, ProviderUnavailable("Busy.", retry_after=7))
    clock.now += 7
    return all_of_them


def test_one_prompt_goes_first_when_the_pause_is_over() -> None:
    all_of_them = half_open(Clock())

    assert left(all_of_them, PROBE) is None
    assert left(all_of_them, OTHER) == left(all_of_them, THIRD) == PROBED_AGAIN


def test_others_pass_as_soon_as_the_first_one_is_answered() -> None:
    all_of_them = half_open(Clock())
    all_of_them.check(PROBE)

    all_of_them.received(PROBE, "Well")

    assert left(all_of_them, OTHER) is left(all_of_them, THIRD) is None


def test_a_first_one_that_fails_opens_it_again_for_longer_each_time() -> None:
    clock = Clock()
    all_of_them = half_open(clock, failures=FAILURES)

    found = []
    for _ in range(3):
        all_of_them.check(PROBE)
        busy = ProviderUnavailable("Still busy.")
        all_of_them.broke_off(PROBE, busy, is_answering=False)
        found.append(left(all_of_them, OTHER))
        clock.now += 100

    assert found == [20, 40, 60]


def test_a_first_one_that_fails_opens_it_again_also_after_few_failures() -> None:
    all_of_them = half_open(Clock())
    all_of_them.check(PROBE)

    all_of_them.failed(PROBE, ProviderTimeout("Too late."))

    assert left(all_of_them, OTHER) == 10


def test_another_one_goes_first_if_the_first_one_ends_without_an_answer() -> None:
    all_of_them = half_open(Clock())
    all_of_them.check(PROBE)

    all_of_them.broke_off(OTHER, CancelledError(), is_answering=False)
    assert left(all_of_them, OTHER) == PROBED_AGAIN
    all_of_them.broke_off(PROBE, CancelledError(), is_answering=False)

    assert left(all_of_them, OTHER) is None
    assert left(all_of_them, THIRD) == PROBED_AGAIN


def test_another_one_goes_first_if_the_first_one_is_silent() -> None:
    clock = Clock()
    all_of_them = half_open(clock)
    all_of_them.check(PROBE)

    clock.now += PROBE_TIME

    assert left(all_of_them, OTHER) is None
    assert left(all_of_them, THIRD) == PROBED_AGAIN


def test_an_answer_that_was_begun_before_closes_nothing_during_the_pause() -> None:
    clock = Clock()
    all_of_them = half_open(clock)
    clock.now -= 5

    all_of_them.received(PROBE, "Well")

    assert left(all_of_them, OTHER) == 5


async def test_one_of_many_prompts_is_sent_after_a_pause(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, may_answer = Clock(), asyncio.Event()
    monkeypatch.setattr(circuits, "ModelBreakers", partial(ModelBreakers, clock=clock))
    provider = ScriptedProvider(refusal=ProviderUnavailable("Busy.", retry_after=60))
    async with open_engine(settings, storage, provider) as engine:
        with pytest.raises(ProviderUnavailable):
            await engine.result(await engine.accept(alice, WHY))
        clock.now += 61
        provider.refusal, provider.before_accepting = None, may_answer

        first = await engine.accept(alice, WHY)
        while len(provider.requests) < 2:  # noqa: ASYNC110 - a task sends it
            await asyncio.sleep(0)
        others = [await engine.accept(alice, WHY) for _ in range(5)]
        for run in others:
            with pytest.raises(ProviderUnavailable, match=r"Busy\. .* kept"):
                await engine.result(run)
        may_answer.set()
        answered = await engine.result(first)
        later = await engine.result(await engine.accept(alice, WHY))

    assert answered.status is later.status is RunStatus.SUCCEEDED
    assert len(provider.requests) == 3


async def test_a_first_prompt_that_is_rejected_or_canceled_stops_no_other(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(circuits, "ModelBreakers", partial(ModelBreakers, clock=clock))
    provider = ScriptedProvider(refusal=ProviderUnavailable("Busy.", retry_after=60))
    async with open_engine(settings, storage, provider) as engine:
        with pytest.raises(ProviderUnavailable):
            await engine.result(await engine.accept(alice, WHY))
        clock.now += 61

        provider.refusal, provider.before_accepting = None, asyncio.Event()
        canceled = await engine.accept(alice, WHY)
        while len(provider.requests) < 2:  # noqa: ASYNC110 - a task sends it
            await asyncio.sleep(0)
        await engine.cancel(alice, canceled.id)
        provider.refusal, provider.before_accepting = PromptRejected("No."), None
        with pytest.raises(PromptRejected):
            await engine.result(await engine.accept(alice, WHY))
        provider.refusal = None
        runs = [await engine.accept(alice, WHY) for _ in range(3)]
        ends = [(await engine.result(run)).status for run in runs]

    assert ends == 3 * [RunStatus.SUCCEEDED]


async def test_a_prompt_that_comes_too_early_is_kept_and_not_sent(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(refusal=ProviderRateLimited("Later.", retry_after=60))
    async with open_engine(settings, storage, provider) as engine:
        for _ in range(3):
            run = await engine.accept(alice, WHY)
            with pytest.raises(ProviderRateLimited, match=r"Later\.") as caught:
                await engine.result(run)
            assert caught.value.retry_after == pytest.approx(60, abs=5)
        stored = await storage.get_run(alice, run.id)

    assert len(provider.requests) == 1
    assert stored.status is RunStatus.FAILED
