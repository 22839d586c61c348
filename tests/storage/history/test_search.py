"""Finding runs by their words, on both databases alike."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert

from llamakeep.domain import Run, RunStatus, User
from llamakeep.errors import InvalidRequest
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.database import schema
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history import search
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import read_search
from llamakeep.storage.history.words import MARK, words_of
from tests.storage.running import add_older_user, ended, new_run, older_row, start


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url"))


async def find(storage: Storage, user: User, words: str, **facts: object) -> list[Run]:
    matching = RunFilter(search=read_search(words), **facts)  # type: ignore[arg-type] # any
    return list(await storage.history(user, matching=matching))


async def test_words_are_found_in_prompts_and_responses_whatever_their_case(
    storage: Storage, alice: User, bob: User
) -> None:
    asked = await storage.add(alice, "What is a LLAMA?", "An animal.")
    answered = await storage.add(alice, "Which animal spits?", "The llama.")
    await storage.add(alice, "Which one hums?", "The alpaca. Llamas do not.")
    await storage.add(bob, "What is a llama?", "An animal.")

    assert await find(storage, alice, "Llama") == [answered, asked]
    assert await find(storage, alice, "llama what") == [asked]


@pytest.mark.parametrize(
    ("words", "finds"),
    [
        ("llama*", True),
        ("lla*", True),
        ("lama*", False),
        ('"brown llama"', True),
        ('"llama brown"', False),
        ('"brown lla"*', True),
        ('"quick llama"', False),
        ("brown quick", True),
        ("quick purple", False),
        ("don't", True),
        ("50/50", True),
        ("50/60", False),
        ("100%", True),
        ("snake_case", True),
        ("https://example.com/a", True),
        ("größe", True),
        ("GRÖSSE", False),
        ("ЛАМА", True),
        ("e-mail", True),
        ("jack@example.com", True),
        ("3.14", True),
        ("-5", True),
    ],
)
async def test_a_search_means_the_same_on_every_database(
    storage: Storage, alice: User, words: str, finds: bool
) -> None:
    run = await storage.add(
        alice,
        "The quick, brown llama: don't ask it 50/50, it is 100% snake_case.",
        "See https://example.com/a, Größe ЛАМА, e-mail jack@example.com 3.14 -5.",
    )

    assert await find(storage, alice, words) == [run] * finds


@pytest.mark.parametrize(
    ("text", "found", "missed"),
    [
        ("Un Café noir", "cafe\u0301", "cafe"),
        ("tie\u0302\u0301ng", "tiếng", "tiêng"),
        ("πιες νερό", "νερο\u0301", "νερο"),
        ("Чай и ёлка", "\u0435\u0308лка", "ёл"),  # noqa: RUF001 - Cyrillic
        ("قال مُحَمَّد", "مُحَمَّد", "محمود"),
        ("שָׁלוֹם עולם", "שָׁלוֹם", "שלומי"),
        ("यह किताब है", "किताब", "कताब"),
        ("এই কলম", "কলম", "কলাম"),
        ("இது கிளி", "கிளி", "களி"),
        ("มี กัน ครับ", "กัน", "กิน"),
        ("នេះ ទឹក", "ទឹក", "ទក"),
        ("天气 很好", "很好", "不好"),
        (
            "これ は ガラス",
            "カ\u3099ラス",
            "カラス",
        ),
        ("한국어 문장", "\u1112\u1161\u11ab국어", "하국어"),
        ("\uff26\uff55\uff4c\uff4c width", "full", "fulls"),
        ("I ❤️ llamas 🦙", "llamas", '"llamas i"'),
    ],
)
async def test_marks_belong_to_their_words_in_every_script(
    storage: Storage, alice: User, text: str, found: str, missed: str
) -> None:
    run = await storage.add(alice, text, "")

    assert await find(storage, alice, found) == [run]
    assert await find(storage, alice, missed) == []
    [kept] = await storage.history(alice)
    assert kept.prompt == text


@pytest.mark.parametrize(
    "words",
    [
        "llama OR alpaca",
        "llama NOT alpacas",
        "prompt:llama",
        "NEAR(llama spits)",
        "llama | !x",
        "llama & x",
        "llama:*A",
        "'llama' 'x",
        'llama" OR "x',
        "owner",
        "^x llama",
        "{prompt}:x",
        "llama\\ x",
        "(x",
        '"x',
    ],
)
async def test_nothing_in_a_search_is_a_command(
    storage: Storage, alice: User, words: str
) -> None:
    await storage.add(alice, "A brown thing spits.", "A llama, not an alpaca.")

    assert await find(storage, alice, words) == []


@pytest.mark.parametrize("nothing", ["%", '""', "*", "' \" -", "🦙"])
def test_a_search_for_no_word_is_refused(nothing: str) -> None:
    with pytest.raises(InvalidRequest, match="neither letters nor digits"):
        read_search(nothing)


async def test_what_only_this_user_could_be_found_by_finds_nothing(
    storage: Storage, alice: User
) -> None:
    await storage.add(alice, "Why?", "")

    assert await find(storage, alice, alice.id) == []
    assert await find(storage, alice, alice.id.rpartition("_")[2]) == []


async def test_a_run_is_found_once_it_is_finished(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, "What is a llama?")

    before = await find(storage, alice, "llama")
    over = ended(run, RunStatus.FAILED, response="An animal")
    await storage.finish(over)

    assert before == []
    assert await find(storage, alice, "llama animal") == [over]


async def test_a_deleted_run_is_not_found_any_more(
    storage: Storage, alice: User
) -> None:
    first, second, third = [await storage.add(alice, "llama", str(n)) for n in range(3)]
    assert len(await find(storage, alice, "llama")) == 3

    await storage.delete_run(alice, third.id)
    fourth = await storage.add(alice, "llama", "3")
    await storage.delete_run(alice, first.id)

    assert await find(storage, alice, "llama") == [fourth, second]


async def test_a_run_that_was_deleted_before_it_could_be_found_is_not_missed(
    storage: Storage, alice: User
) -> None:
    gone = await storage.add(alice, "llama", "0")
    await storage.delete_run(alice, gone.id)
    kept = await storage.add(alice, "llama", "1")

    assert await find(storage, alice, "llama") == [kept]
    assert not await storage.index_finished()


async def test_only_the_beginning_of_a_very_long_text_is_searched(
    storage: Storage, alice: User
) -> None:
    run = await storage.add(alice, "llama " + "word " * 50_000 + "end", "x")

    assert await find(storage, alice, "llama") == [run]
    assert await find(storage, alice, "end") == []


@pytest.mark.parametrize(
    "text",
    [
        '"' + "a " * 240 + 'z"*',
        " ".join(f'"{"a " * 7}{chr(98 + n)}"' for n in range(24)),
        "-".join("ab" * 100),
    ],
)
def test_only_so_many_words_have_to_be_next_to_each_other(text: str) -> None:
    terms = read_search(text).terms

    together = [len(term.words) for term in terms if len(term.words) > 1]
    assert max(together) <= search.PHRASE
    assert sum(together) <= search.IN_PHRASES
    assert {word for term in terms for word in term.words} == set(words_of(text))


async def test_a_long_phrase_is_found_by_its_beginning_and_its_words(
    storage: Storage, alice: User
) -> None:
    words = [f"w{number}" for number in range(40)]
    whole = await storage.add(alice, " ".join(words), "")
    await storage.add(alice, " ".join(words[:30]), "")
    await storage.add(alice, " ".join(reversed(words)), "")

    assert await find(storage, alice, f'"{" ".join(words)}"') == [whole]
    assert await find(storage, alice, f'"{" ".join(words[:39])} w3"*') == [whole]


async def test_long_texts_are_indexed_a_few_at_a_time(
    storage: Storage, alice: User
) -> None:
    for number in range(5):
        await storage.add(alice, f"n{number} " + "x " * 45_000, "y " * 45_000)
    if not storage.is_sole_owner:
        return  # PostgreSQL does that when a run ends

    portions = 1
    while await storage.index_finished():
        portions += 1

    assert portions == 5
    assert len(await find(storage, alice, "y")) == 5


async def test_texts_of_very_many_words_can_be_kept(
    storage: Storage, alice: User
) -> None:
    many = " ".join(chr(0x4E00 + n // 150) + chr(0x20000 + n) for n in range(70_000))

    run = await storage.add(alice, many, many + " \U0001f999" + "x" * 3000)

    assert await find(storage, alice, many.split()[1]) == [run]


async def test_pages_of_a_frequent_word_are_those_of_any_other(
    storage: Storage, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [
        await storage.add(alice, f"llama {n}", "even" if n % 2 == 0 else "odd")
        for n in range(9)
    ]
    await storage.add(bob, "llama", "even")
    matching = RunFilter(
        search=read_search("llama even"), statuses={RunStatus.SUCCEEDED}
    )

    async def pages() -> list[Sequence[Run]]:
        return [
            await storage.history(alice, matching=matching, limit=2),
            await storage.history(alice, matching=matching, before=kept[5].id),
            await storage.history(
                alice, matching=matching, after=kept[2].id, oldest_first=True
            ),
        ]

    expected = await pages()
    monkeypatch.setattr(search, "FREQUENT", 3)

    assert await pages() == expected
    assert [len(page) for page in expected] == [2, 3, 3]


async def test_the_best_match_comes_first(storage: Storage, alice: User) -> None:
    much = await storage.add(alice, "llama llama", "llama")
    little = await storage.add(alice, "a llama " + "and much else " * 50, "")
    await storage.add(alice, "alpaca", "")
    matching = RunFilter(search=read_search("llama"))

    found = await storage.best_matches(alice, matching, limit=10)

    best = [each.run for each in found]
    assert best == [much, little]


@pytest.mark.parametrize("better", [0, 3, 40])
async def test_the_best_are_ones_own_also_where_somebody_shares_the_list_of_words(
    storage: Storage, alice: User, better: int
) -> None:
    twin = replace(alice, id=f"user_{alice.id[-MARK:]:0>26}", username="twin")
    facts = {"id": twin.id, "username": "twin", "username_key": "twin"}
    await storage._database.write(
        lambda c: c.execute(
            insert(users).values(facts | {"created_at": twin.created_at})
        ).close()
    )
    matching = RunFilter(search=read_search("llama"))
    own = [await storage.add(alice, n * "llama ", "x") for n in (4, 3, 2, 1)]
    for _ in range(better):
        await storage.add(twin, 8 * "llama ", "x")

    found = [
        await storage.best_matches(alice, matching, limit=limit) for limit in (2, 10)
    ]

    best = [[each.run for each in page] for page in found]
    assert best == [own[:2], own]


def _write_as_version_4(kept: list[Run], connection: Connection) -> None:
    for run in kept:
        row = older_row(run)
        del row["reservation"]
        connection.execute(insert(runs).values(row))


async def test_runs_of_an_older_version_are_found_too(
    empty_url: str,
) -> None:
    async with open_storage(empty_url, migrate=True) as storage:
        for version in ("base", "0004"):
            await storage._database.write(partial(schema.migrate, target=version))
        alice = await add_older_user(storage)
        run = ended(new_run(alice, "llama", started_at=None))
        going_on = new_run(alice, "llama")
        await storage._database.write(partial(_write_as_version_4, [run, going_on]))

        await storage.migrate()
        await storage.finish(over := ended(going_on))

        assert await find(storage, alice, "llama") == [over, run]


async def test_runs_are_deleted_with_their_user_also_from_the_index(
    storage: Storage, alice: User, bob: User
) -> None:
    await storage.add(alice, "llama", "")
    his = await storage.add(bob, "llama", "")
    assert len(await find(storage, alice, "llama")) == 1

    await storage._database.write(
        lambda c: c.execute(delete(users).where(users.c.id == alice.id))
    )

    assert await find(storage, alice, "llama") == []
    assert await find(storage, bob, "llama") == [his]


async def test_words_of_deleted_runs_are_gone_from_the_file(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        kept = [await storage.add(alice, f"kept{n}", "xylem") for n in range(20)]
        gone = await storage.add(alice, "Xylophone", "zyzzyva")
        assert await find(storage, alice, "xylophone zyzzyva") == [gone]

        await storage.delete_run(alice, gone.id)
        found = await find(storage, alice, "xyl*")

    content = await asyncio.to_thread((tmp_path / "llamakeep.db").read_bytes)
    assert found == kept[::-1]
    for rest in (b"ophone", b"yzzyva"):
        assert rest not in content.lower()
