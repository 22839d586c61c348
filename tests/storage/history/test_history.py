from datetime import UTC, datetime
from typing import Any

import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.listing import is_full
from tests.storage.running import ended, start


async def test_pages_cover_the_history_once_newest_first(
    storage: Storage, alice: User, bob: User
) -> None:
    runs = [await start(storage, user) for user in (alice, bob) * 7]
    hers = [run for run in runs if run.user_id == alice.id][::-1]

    pages = [await storage.history(alice, limit=3)]
    while pages[-1]:
        pages.append(await storage.history(alice, before=pages[-1][-1].id, limit=3))

    assert [run for page in pages for run in page] == hers
    assert [len(page) for page in pages] == [3, 3, 1, 0]


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_page_ends_with_the_run_that_makes_it_full(
    storage: Storage, alice: User, *, oldest_first: bool
) -> None:
    sizes = [0, 9, 9, 9, 0]
    runs = [await start(storage, alice, "x" * size * 2**20) for size in sizes]
    expected = runs[:3] if oldest_first else runs[:1:-1]

    page = await storage.history(alice, oldest_first=oldest_first, is_page=True)
    everything = await storage.history(alice)

    assert page == expected
    assert is_full(page)
    assert not is_full(page[:2])
    assert len(everything) == 5


async def test_a_run_that_comes_while_paging_is_not_seen_twice(
    storage: Storage, alice: User
) -> None:
    old, young = await start(storage, alice), await start(storage, alice)
    [seen] = await storage.history(alice, limit=1)
    await start(storage, alice)

    rest = await storage.history(alice, before=seen.id)

    assert (seen, rest) == (young, [old])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"model": "parrot"}, "1234"),
        ({"model": "scripted:parrot"}, "124"),
        ({"model": "other:parrot"}, "3"),
        ({"model": "scripted"}, ""),
        ({"model": "a:b"}, "0"),
        ({"model": "scripted:a:b"}, "0"),
        ({"statuses": {RunStatus.FAILED}}, "2"),
        ({"statuses": {RunStatus.STARTING}}, "0134"),
        ({"statuses": {RunStatus.FAILED, RunStatus.STARTING}}, "01234"),
        ({"api_key_id": "key_1"}, "1"),
        ({"conversation_id": "conv_1"}, "4"),
        (
            {"model": "parrot", "statuses": {RunStatus.FAILED}, "api_key_id": "key_1"},
            "",
        ),
    ],
)
async def test_the_history_can_be_narrowed(
    storage: Storage, alice: User, bob: User, facts: dict[str, Any], expected: str
) -> None:
    await start(storage, alice, "0", model="a:b")
    await start(storage, alice, "1", api_key_id="key_1")
    await storage.finish(ended(await start(storage, alice, "2"), RunStatus.FAILED))
    await start(storage, alice, "3", provider="other")
    await start(storage, alice, "4", conversation_id="conv_1")
    await start(storage, bob, "5", api_key_id="key_1", conversation_id="conv_1")

    found = await storage.history(alice, matching=RunFilter(**facts), oldest_first=True)

    assert "".join(run.prompt for run in found) == expected


async def test_the_history_can_be_of_some_time(storage: Storage, alice: User) -> None:
    days = [datetime(2025, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    first, second, _ = [
        await storage.add(alice, "", "", created_at=day) for day in days
    ]

    until_the_third = RunFilter(until=days[2])
    on_the_second = RunFilter(since=days[1], until=days[2])

    assert await storage.history(alice, matching=until_the_third) == [second, first]
    assert await storage.history(alice, matching=on_the_second) == [second]
