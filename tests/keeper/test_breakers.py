"""What is asked of a model that was just said not to answer, and when again."""

from dataclasses import replace

import pytest

from llamakeep.domain import Run, RunStatus, User, utc_now
from llamakeep.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.keeper import breakers
from llamakeep.keeper.breakers import Breakers
from llamakeep.keeper.gate_rules import FAILURES
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.fakes import ScriptedProvider
from tests.keeper.engine import WHY, open_keeper

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


def left(of: Breakers, run: Run = RUN) -> float | None:
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
    all_of_them = Breakers(10, clock)

    all_of_them.failed(RUN, kind("Slow down.", retry_after=7))
    clock.now += 2
    with pytest.raises(kind, match=r"Slow down\. .* kept") as caught:
        all_of_them.check(RUN)

    assert caught.value.retry_after == 5
    assert left(all_of_them, replace(RUN, model="other")) is None
    clock.now += 5
    assert left(all_of_them) is None


def test_nothing_is_left_alone_for_longer_than_five_minutes() -> None:
    all_of_them = Breakers(10, Clock())

    all_of_them.failed(RUN, ProviderRateLimited(retry_after=86400))

    assert left(all_of_them) == 300


@pytest.mark.parametrize(
    "kind", [ProviderRateLimited, ProviderUnavailable, ProviderTimeout]
)
def test_five_failures_in_a_row_open_it_longer_each_time(
    kind: type[ProviderError],
) -> None:
    clock = Clock()
    all_of_them = Breakers(10, clock)
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
    all_of_them = Breakers(10, Clock())
    for _ in range(2):
        for _ in range(FAILURES - 1):
            all_of_them.failed(RUN, ProviderUnavailable())
        all_of_them.succeeded(RUN)

    assert left(all_of_them) is None


def test_a_server_that_is_not_there_is_asked_each_time() -> None:
    all_of_them = Breakers(10, Clock())
    not_there = ProviderUnavailable()
    not_there.was_connected = False

    for _ in range(2 * FAILURES):
        all_of_them.failed(RUN, not_there)

    assert left(all_of_them) is None


def test_what_is_known_of_many_models_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breakers, "MOST", 3)
    all_of_them = Breakers(10, Clock())
    runs = [replace(RUN, model=str(number)) for number in range(5)]

    for run in runs:
        all_of_them.failed(run, ProviderRateLimited(retry_after=7))

    assert [left(all_of_them, run) for run in runs] == [None, None, 7, 7, 7]


async def test_a_prompt_that_comes_too_early_is_kept_and_not_sent(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(refusal=ProviderRateLimited("Later.", retry_after=60))
    async with open_keeper(settings, storage, provider) as keeper:
        for _ in range(3):
            run = await keeper.ask(alice, WHY)
            with pytest.raises(ProviderRateLimited, match=r"Later\.") as caught:
                await keeper.result(run)
            assert caught.value.retry_after == pytest.approx(60, abs=5)
        stored = await storage.get_run(alice, run.id)

    assert len(provider.requests) == 1
    assert stored.status is RunStatus.FAILED
