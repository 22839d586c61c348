"""What a history comes to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from llamakeep.domain import Run, RunStatus, Usage, User
from llamakeep.storage import Storage
from llamakeep.storage.history import stats
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


async def summed(
    storage: Storage, user: User, matching: RunFilter, *by: Grouping
) -> Sequence[Stats]:
    found, has_more = await storage.stats(user, matching, by=by)
    assert not has_more
    return found


async def test_a_history_without_runs_comes_to_nothing(
    storage: Storage, alice: User, bob: User
) -> None:
    await finish(storage, bob)

    assert await summed(storage, alice, EVERYTHING, Grouping.DAY) == []


async def test_runs_are_summed_up_by_day_the_last_one_first(
    storage: Storage, alice: User
) -> None:
    some = Usage(10, 20, Decimal("0.000000003"))
    await finish(storage, alice, 2, usage=some)
    await finish(storage, alice, 4, usage=some)
    await finish(storage, alice, 90, usage=Usage(1), status=RunStatus.FAILED)
    await start(storage, alice, created_at=NIGHT)
    await finish(storage, alice, created_at=NIGHT + timedelta(seconds=1))

    found = await summed(storage, alice, EVERYTHING, Grouping.DAY)

    assert found == [
        Stats(
            groups=("2026-03-02",),
            runs=1,
            succeeded=1,
            failed=0,
            input_tokens=0,
            output_tokens=0,
            cost=Decimal(0),
            unpriced=1,
            latency_p50=1,
            latency_p90=1,
            latency_p99=1,
        ),
        Stats(
            groups=("2026-03-01",),
            runs=4,
            succeeded=2,
            failed=1,
            input_tokens=21,
            output_tokens=40,
            cost=Decimal("0.000000006"),
            unpriced=0,
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

    found = await summed(storage, alice, EVERYTHING, Grouping.MODEL)

    assert [
        (each.groups[0], each.latency_p50, each.latency_p90, each.latency_p99)
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

    found = await summed(storage, alice, EVERYTHING, Grouping.API_KEY)

    assert [(each.groups[0], each.runs, each.latency_p50) for each in found] == [
        ("key_2", 1, None),
        ("key_1", 2, 1),
        (None, 1, 1),
    ]


async def test_all_users_runs_are_summed_up_by_five_facts_at_most_so_many(
    storage: Storage, alice: User, bob: User
) -> None:
    facts = [
        Grouping.USER,
        Grouping.API_KEY,
        Grouping.MODEL,
        Grouping.END_USER,
        Grouping.DAY,
    ]
    await finish(storage, alice, api_key_id="key_1")
    await finish(storage, alice, api_key_id="key_1")
    await finish(storage, bob)

    all_of_them = await storage.stats(None, EVERYTHING, by=facts)
    first = await storage.stats(None, EVERYTHING, by=facts, most=1)

    (of_alice, of_bob), has_more = all_of_them
    assert (of_alice.runs, of_bob.runs, has_more) == (2, 1, False)
    assert of_alice.groups[:4] == (alice.id, "key_1", "scripted:parrot", None)
    assert first == ([of_alice], True)


async def test_what_is_summed_up_can_be_narrowed(storage: Storage, alice: User) -> None:
    await finish(storage, alice, model="other")
    await finish(storage, alice)

    [found] = await summed(
        storage,
        alice,
        RunFilter(model="other", search=read_search("why")),
        Grouping.DAY,
    )

    assert found.runs == 1


async def test_costs_that_no_whole_number_holds_are_summed_up(
    storage: Storage, alice: User
) -> None:
    most = Usage(1, 1, Decimal("9_000_000_000.000000001"))
    await finish(storage, alice, usage=most)
    await finish(storage, alice, usage=most)

    [found] = await summed(storage, alice, EVERYTHING, Grouping.DAY)

    assert found.cost == Decimal("18_000_000_000.000000002")


async def test_runs_are_summed_up_by_two_facts_the_latest_day_first(
    storage: Storage, alice: User
) -> None:
    for day, model in [(0, "a"), (1, "b"), (1, "a"), (1, "a"), (2, "b")]:
        moment = NIGHT + timedelta(days=day)
        await finish(storage, alice, 1 + day, created_at=moment, model=model)

    by_day = await summed(storage, alice, EVERYTHING, Grouping.DAY, Grouping.MODEL)
    by_model = await summed(storage, alice, EVERYTHING, Grouping.MODEL, Grouping.DAY)
    others = await summed(storage, alice, EVERYTHING, Grouping.STATUS, Grouping.MODEL)

    assert [(each.groups, each.runs, each.latency_p99) for each in by_day] == [
        (("2026-03-03", "scripted:b"), 1, 3),
        (("2026-03-02", "scripted:a"), 2, 2),
        (("2026-03-02", "scripted:b"), 1, 2),
        (("2026-03-01", "scripted:a"), 1, 1),
    ]
    assert [each.groups[::-1] for each in by_model] == [each.groups for each in by_day]
    assert [(each.groups, each.runs) for each in others] == [
        (("succeeded", "scripted:a"), 3),
        (("succeeded", "scripted:b"), 2),
    ]


async def test_runs_are_summed_up_by_status_and_by_each_of_their_tags(
    storage: Storage, alice: User, bob: User
) -> None:
    await finish(storage, alice, metadata={"for": "wool", "draft": ""})
    await finish(storage, alice, 5, metadata={"for": "wool"})
    await finish(storage, alice, status=RunStatus.FAILED, metadata={"for": "milk"})
    await finish(storage, alice)
    await finish(storage, bob, metadata={"for": "wool"})
    tagged = RunFilter(tags=("for:wool",))

    by_status = await summed(storage, alice, EVERYTHING, Grouping.STATUS)
    by_tag = await summed(storage, alice, EVERYTHING, Grouping.TAG)
    of_wool = await summed(storage, alice, tagged, Grouping.TAG)

    assert [(each.groups, each.runs) for each in by_status] == [
        (("succeeded",), 3),
        (("failed",), 1),
    ]
    assert [(each.groups[0], each.runs, each.latency_p99) for each in by_tag] == [
        ("for", 3, 5),
        ("for:wool", 2, 5),
        ("draft", 1, 1),
        ("draft:", 1, 1),
        ("for:milk", 1, None),
        (None, 1, 1),
    ]
    assert [(each.groups[0], each.runs) for each in of_wool] == [
        ("for", 2),
        ("for:wool", 2),
        ("draft", 1),
        ("draft:", 1),
    ]


async def test_of_very_many_groups_those_with_the_most_runs_are_shown(
    storage: Storage, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "MOST", 2)
    monkeypatch.setattr(stats, "MOST_BY_DAY", 2)
    for n, end_user in enumerate("aabbccc"):
        moment = NIGHT + timedelta(days=n)
        await finish(storage, alice, end_user=end_user, created_at=moment)

    found = [
        await storage.stats(alice, EVERYTHING, by=by)
        for by in (
            [Grouping.END_USER],
            [Grouping.DAY],
            [Grouping.END_USER, Grouping.MODEL],
            [Grouping.MODEL],
        )
    ]

    assert [[each.groups[0] for each in shown] for shown, _ in found] == [
        ["c", "a"],
        ["2026-03-07", "2026-03-06"],
        ["c", "a"],
        ["scripted:parrot"],
    ]
    assert [has_more for _, has_more in found] == [True, True, True, False]


async def test_percentiles_of_first_words_leave_out_what_is_not_known(
    storage: Storage, alice: User
) -> None:
    for n in range(10, 0, -1):
        await finish(storage, alice, first_word_after=n * 500_000)
    for _ in range(3):
        await finish(storage, alice)
    await finish(storage, alice, status=RunStatus.FAILED, first_word_after=1)

    [found], _ = await storage.stats(
        alice, EVERYTHING, by=[Grouping.DAY], has_first_words=True
    )
    [without] = await summed(storage, alice, EVERYTHING, Grouping.DAY)

    assert without.first_word_p50 is None
    assert (found.first_word_p50, found.first_word_p90, found.first_word_p99) == (
        2.5,
        4.5,
        5,
    )
    assert (found.latency_p50, found.runs) == (1, 14)
