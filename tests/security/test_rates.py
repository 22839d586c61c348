"""How requests are counted, in this process and by all together."""

import asyncio
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.domain.rates import Rate, parse_rates
from llamakeep.errors import CountsUnavailable
from llamakeep.limits import shared_rates
from llamakeep.limits.rates import Counts, Kind, Limit, OwnCounts, Verdict
from llamakeep.limits.shared_rates import SharedCounts, ValkeyCounts
from tests.valkey import ValkeyServer
from tests.waiting import LONG_ENOUGH

HOUR = Rate(3, 3600)


def limit(rate: Rate = HOUR, whose: str = "alice", kind: Kind = "key") -> Limit:
    return Limit(kind, whose, rate)


@pytest.mark.parametrize(
    ("written", "rates"),
    [
        ("120/minute", [Rate(120, 60)]),
        ("10/second;1000/day", [Rate(10, 1), Rate(1000, 86400)]),
        (" 100 / 15 minutes ; 1/hour", [Rate(100, 900), Rate(1, 3600)]),
    ],
)
def test_rates_are_read_as_they_are_written(written: str, rates: list[Rate]) -> None:
    assert list(parse_rates(written)) == rates


@pytest.mark.parametrize(
    "written", ["", "120", "0/minute", "-1/day", "1/fortnight", "1/0 days", "1/day;"]
)
def test_what_is_no_rate_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match=r"write `120/minute`"):
        parse_rates(written)


@pytest.mark.parametrize(
    ("written", "words"),
    [("120/minute", "120 in 1 minute"), ("5/90 seconds", "5 in 90 seconds")],
)
def test_a_rate_says_itself_in_words(written: str, words: str) -> None:
    [rate] = parse_rates(written)

    assert str(rate) == words


@pytest.fixture(params=["own", pytest.param("valkey", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "own":
        return None
    return str(request.getfixturevalue("valkey_server").url)


@pytest.fixture
async def counts(url: str | None) -> AsyncIterator[Counts]:
    """What must be so wherever it is counted."""
    found: Counts = OwnCounts() if url is None else ValkeyCounts(url)
    yield found
    await found.close()


async def test_as_many_pass_as_the_rate_says_and_each_is_told_what_is_left(
    counts: Counts,
) -> None:
    verdicts = [await counts.hit([limit()]) for _ in range(5)]

    assert [v.is_let_through for v in verdicts] == [True, True, True, False, False]
    assert [v.standings[0].left for v in verdicts] == [2, 1, 0, 0, 0]
    # Until the oldest is forgotten: an hour, and what is left of a minute.
    assert all(3500 < v.standings[0].more_in <= 3660 for v in verdicts)


async def test_everybody_is_counted_by_themselves(counts: Counts) -> None:
    for _ in range(3):
        await counts.hit([limit()])

    others = [limit(whose="bob"), limit(kind="user"), limit(Rate(3, 60))]
    verdicts = [await counts.hit([each]) for each in others]

    assert [v.standings[0].left for v in verdicts] == [2, 2, 2]


async def test_a_request_that_is_refused_counts_for_none_of_its_limits(
    counts: Counts,
) -> None:
    tight, wide = limit(Rate(1, 60)), limit(Rate(10, 3600))
    await counts.hit([tight, wide])

    verdict = await counts.hit([tight, wide])

    assert not verdict.is_let_through
    assert [standing.left for standing in verdict.standings] == [0, 9]


async def test_whoever_waits_as_long_as_told_passes(counts: Counts) -> None:
    quick = limit(Rate(2, 1))
    while (refused := await counts.hit([quick])).is_let_through:
        pass

    await asyncio.sleep(refused.standings[0].more_in)

    assert (await counts.hit([quick])).is_let_through


@pytest.mark.slow
async def test_whoever_never_stops_asking_passes_no_more_often(counts: Counts) -> None:
    quick = limit(Rate(3, 1))
    passed: list[tuple[float, float]] = []
    while len(passed) < 5:
        before = time.monotonic()
        if (await counts.hit([quick])).is_let_through:
            passed.append((before, time.monotonic()))
        await asyncio.sleep(0.005)

    for (earlier, _), (_, later) in zip(passed, passed[3:], strict=False):
        assert later - earlier >= 1


async def test_of_many_at_once_exactly_as_many_pass_as_may(counts: Counts) -> None:
    verdicts = await asyncio.gather(
        *(counts.hit([limit(Rate(50, 3600))]) for _ in range(300))
    )

    assert sum(v.is_let_through for v in verdicts) == 50


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    st.builds(Rate, st.integers(1, 5), st.sampled_from([1, 60, 86400])),
    st.lists(st.floats(0, 0.7), max_size=60),
)
def test_in_no_period_more_pass_than_may_and_nobody_is_refused_for_much_longer(
    rate: Rate, pauses: Sequence[float]
) -> None:
    clock = Clock()
    counts = OwnCounts(clock)
    passed: list[float] = []

    async def go_through() -> None:
        for pause in pauses:
            clock.now += pause * rate.seconds
            verdict = await counts.hit([limit(rate)])
            for period, is_enough in ((1, False), (1 + 1 / 60, True)):
                begun = clock.now - period * rate.seconds
                # Those at its very edge belong to it or not, as rounding has it.
                edge = (-1 if is_enough else 1) * 1e-6 * rate.seconds
                inside = sum(at > begun + edge for at in passed)
                if is_enough and not verdict.is_let_through:
                    assert inside >= rate.amount
                if not is_enough and verdict.is_let_through:
                    assert inside < rate.amount
            if verdict.is_let_through:
                passed.append(clock.now)

    asyncio.run(go_through())


async def test_memory_is_bounded_and_the_idle_are_forgotten_first() -> None:
    counts = OwnCounts(max_windows=100)
    await counts.hit([limit(whose="idle")])
    for n in range(99):
        await counts.hit([limit(whose=str(n))])
    await counts.hit([limit(whose="0")])

    for n in range(99, 150):
        await counts.hit([limit(whose=str(n))])

    [windows] = counts._windows.values()
    assert len(windows) == 100
    assert "0" in windows
    assert "idle" not in windows


@pytest.mark.slow
async def test_whoever_keeps_coming_takes_no_more_than_three_kilobytes() -> None:
    clock = Clock()
    counts = OwnCounts(clock)
    tracemalloc.start()
    try:
        for _ in range(60):
            clock.now += 60
            for n in range(100):
                await counts.hit([limit(Rate(1000, 3600), whose=str(n))])
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size / 100 < 3072


async def test_whoever_has_not_come_for_a_period_takes_no_memory() -> None:
    clock = Clock()
    counts = OwnCounts(clock)
    for n in range(100):
        await counts.hit([limit(whose=str(n))])

    clock.now = 3700
    for n in range(100, 151):
        await counts.hit([limit(whose=str(n))])

    [windows] = counts._windows.values()
    assert not {str(n) for n in range(100)} & set(windows)


class Cut:
    """Shared counts behind a line that can be cut."""

    def __init__(self) -> None:
        self.is_cut = True
        self.asked = 0
        self._counts = OwnCounts()

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        self.asked += 1
        if self.is_cut:
            raise shared_rates.ValkeyUnreachable("Connection refused.")
        return await self._counts.hit(limits)

    async def close(self) -> None:
        await self._counts.close()


async def test_without_the_others_a_process_counts_by_itself_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cut = Cut()
    counts = SharedCounts(cut)

    verdicts = [await counts.hit([limit()]) for _ in range(5)]

    assert sum(v.is_let_through for v in verdicts) == 3
    assert cut.asked == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Connection refused" in caplog.text


async def test_without_the_others_no_login_passes() -> None:
    counts = SharedCounts(Cut())

    with pytest.raises(CountsUnavailable, match="Nothing was checked") as refused:
        await counts.hit([limit(kind="address"), limit(kind="login")])

    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 2


async def test_when_the_others_are_back_all_count_together_again_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_rates, "PAUSE", 0.01)
    cut = Cut()
    counts = SharedCounts(cut)
    await counts.hit([limit()])
    cut.is_cut = False
    await asyncio.sleep(0.02)

    verdicts = [await counts.hit([limit()]) for _ in range(4)]

    assert [v.standings[0].left for v in verdicts] == [2, 1, 0, 0]
    assert len(caplog.records) == 2
    assert "answers again" in caplog.text


class Slow(Cut):
    """Answers the first request only after it was cut for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        if not self.asked:
            self.asked += 1
            await self.go_on.wait()
            return await self._counts.hit(limits)
        return await super().hit(limits)


async def test_a_late_answer_does_not_mean_that_the_others_are_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow()
    counts = SharedCounts(slow)
    early = asyncio.create_task(counts.hit([limit()]))
    await asyncio.sleep(0)
    await counts.hit([limit()])

    slow.go_on.set()
    await early
    await counts.hit([limit()])

    assert slow.asked == 2
    assert "answers again" not in caplog.text


async def test_a_valkey_that_is_gone_is_noticed_and_so_is_its_return(
    valkey_server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shared_rates, "PAUSE", 0.05)
    counts = SharedCounts(ValkeyCounts(valkey_server.url))
    await counts.hit([limit()])

    await asyncio.to_thread(valkey_server.stop)
    gone = await counts.hit([limit()])
    await asyncio.to_thread(valkey_server.start)
    async with asyncio.timeout(LONG_ENOUGH):
        while "answers again" not in caplog.text:
            await asyncio.sleep(0.02)
            await counts.hit([limit(whose="bob")])
    await counts.close()

    assert gone.standings[0].left == 2
    assert caplog.text.count("does not answer") == 1


@pytest.mark.slow
async def test_a_valkey_that_accepts_and_says_nothing_is_not_waited_for_long() -> None:
    async def say_nothing(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    counts = SharedCounts(ValkeyCounts(f"valkey://127.0.0.1:{port}"))

    async with asyncio.timeout(LONG_ENOUGH):
        verdict = await counts.hit([limit()])

    assert verdict.is_let_through
    await counts.close()
    server.close()
