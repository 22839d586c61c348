"""PostgreSQL finds the same whichever way it goes: run after run, or by its index."""

import pytest

from llamakeep.domain import User
from llamakeep.storage import Storage
from llamakeep.storage.history import newest_found
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import read_search

RUNS = 120
LIMIT = 5


def says(number: int) -> str:
    words = {"often": 1, "sometimes": 4, "seldom": 50}
    return " ".join(word for word, each in words.items() if number % each == 0)


@pytest.fixture
async def run_ids(storage: Storage, alice: User) -> list[str]:
    return [(await storage.add(alice, says(n), str(n))).id for n in range(RUNS)]


@pytest.fixture(params=[0, 60, 1500])
def longest_look(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_found, "LONGEST_LOOK", request.param)


@pytest.mark.usefixtures("longest_look")
@pytest.mark.parametrize(
    ("words", "each"),
    [("often", 1), ("sometimes", 4), ("seldom", 50), ('"often sometimes"', 4)],
)
async def test_the_first_that_have_a_word_are_found_however_many_do(
    storage: Storage, alice: User, run_ids: list[str], words: str, each: int
) -> None:
    after, before = run_ids[2], run_ids[110]
    pages = [
        await storage.history(
            alice,
            matching=RunFilter(search=read_search(words)),
            after=after,
            before=before,
            oldest_first=oldest_first,
            limit=LIMIT,
        )
        for oldest_first in (True, False)
    ]

    wanted = [run_ids[n] for n in range(3, 110) if n % each == 0]
    assert [run.id for run in pages[0]] == wanted[:LIMIT]
    assert [run.id for run in pages[1]] == wanted[::-1][:LIMIT]


@pytest.mark.usefixtures("run_ids")
async def test_what_is_found_is_narrowed_to_its_user(
    storage: Storage, alice: User, bob: User
) -> None:
    matching = RunFilter(search=read_search("often"))

    assert await storage.history(bob, matching=matching) == []
    assert len(await storage.history(alice, matching=matching, limit=200)) == RUNS


@pytest.mark.parametrize("often", ["often", '"often sometimes"', "often sometimes"])
async def test_a_rare_and_a_frequent_word_are_found_together(
    storage: Storage,
    alice: User,
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
    often: str,
) -> None:
    monkeypatch.setattr(newest_found, "LONGEST_LOOK", 60)
    told = [await storage.add(alice, says(4 * n), f"x{n}") for n in range(RUNS)]
    await storage.add(alice, "nothing else", "x5")
    await storage.add(bob, "often sometimes", "x5")

    found = [
        await storage.history(
            alice, matching=RunFilter(search=read_search(words)), limit=LIMIT
        )
        for words in (f"x5 {often}", f"{often} x5", f"x5 x6 {often}", f"x5 {often} no")
    ]

    assert found == [[told[5]], [told[5]], [], []]
