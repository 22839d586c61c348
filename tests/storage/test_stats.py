"""What a history comes to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from llamakeep.domain import Run, RunStatus, Usage, User
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import EVERYTHING, RunFilter
from llamakeep.storage.history.search import read_search
from llamakeep.storage.history.stats import Grouping, Stats
from tests.storage.running import ended, start

NIGHT = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


async def finish(storage: Storage, user: User, seconds: float = 1, **facts: Any) -> Run:
    """Keep a run whose answer took so long."""
    end = {name: facts.pop(name) for name in ("status", "usage") if name in facts}
    run = await start(storage, user, **({"created_at": NIGHT} | facts))
    finished_at = run.created_at + timedelta(seconds=seconds)
    over = replace(ended(run, **end), finished_at=finished_at)
    assert await storage.finish(over)
    return over


async def test_a_history_without_runs_comes_to_nothing(
    storage: Storage, alice: User, bob: User
) -> None:
    await finish(storage, bob)

    assert await storage.stats(alice, EVERYTHING, by=Grouping.DAY) == []


async def test_runs_are_summed_up_by_day_the_last_one_first(
    storage: Storage, alice: User
) -> None:
    some = Usage(10, 20, Decimal("0.000000003"))
    await finish(storage, alice, 2, usage=some)
    await finish(storage, alice, 4, usage=some)
    await finish(storage, alice, 90, usage=Usage(1), status=RunStatus.FAILED)
    await start(storage, alice, created_at=NIGHT)
    await finish(storage, alice, created_at=NIGHT + timedelta(seconds=1))

    found = await storage.stats(alice, EVERYTHING, by=Grouping.DAY)

    assert found == [
        Stats(
            group="2026-03-02",
            runs=1,
            succeeded=1,
            failed=0,
            input_tokens=0,
            output_tokens=0,
            cost=Decimal(0),
            latency_p50=1,
            latency_p90=1,
            latency_p99=1,
        ),
        Stats(
            group="2026-03-01",
            runs=4,
            succeeded=2,
            failed=1,
            input_tokens=21,
            output_tokens=40,
            cost=Decimal("0.000000006"),
            latency_p50=2,
            latency_p90=4,
            latency_p99=4,
        ),
    ]


async def test_percentiles_are_those_of_each_group(
    storage: Storage, alice: User
) -> None:
    for seconds in range(100, 0, -1):
        await finish(storage, alice, seconds)
        await finish(storage, alice, seconds / 1000, model="fast")
    await finish(storage, alice, 999, status=RunStatus.CANCELED)

    found = await storage.stats(alice, EVERYTHING, by=Grouping.MODEL)

    assert [
        (each.group, each.latency_p50, each.latency_p90, each.latency_p99)
        for each in found
    ] == [
        ("scripted:parrot", 50, 90, 99),
        ("scripted:fast", 0.05, 0.09, 0.099),
    ]


async def test_runs_are_summed_up_by_api_key_and_what_came_without_one_last(
    storage: Storage, alice: User
) -> None:
    await finish(storage, alice, api_key_id="key_1")
    await finish(storage, alice)
    await finish(storage, alice, api_key_id="key_1")
    await start(storage, alice, api_key_id="key_2")

    found = await storage.stats(alice, EVERYTHING, by=Grouping.API_KEY)

    assert [(each.group, each.runs, each.latency_p50) for each in found] == [
        ("key_2", 1, None),
        ("key_1", 2, 1),
        (None, 1, 1),
    ]


async def test_what_is_summed_up_can_be_narrowed(storage: Storage, alice: User) -> None:
    await finish(storage, alice, model="other")
    await finish(storage, alice)

    [found] = await storage.stats(
        alice,
        RunFilter(model="other", search=read_search("why")),
        by=Grouping.DAY,
    )

    assert found.runs == 1


async def test_costs_that_no_whole_number_holds_are_summed_up(
    storage: Storage, alice: User
) -> None:
    most = Usage(1, 1, Decimal("9_000_000_000.000000001"))
    await finish(storage, alice, usage=most)
    await finish(storage, alice, usage=most)

    [found] = await storage.stats(alice, EVERYTHING, by=Grouping.DAY)

    assert found.cost == Decimal("18_000_000_000.000000002")
