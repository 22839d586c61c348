"""A run is stored whatever its texts are, if need be with less of them indexed."""

import itertools

import pytest
from sqlalchemy import text

from llamakeep.domain import User
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.history import indexing
from tests.storage.history.test_search import find
from tests.storage.running import ended, start

SQUARED = [chr(code) for code in range(0x3300, 0x3358)]
"""Signs that normalising makes four characters of, or five."""
RARE = [chr(code) for code in range(0x20000, 0x20040)]
"""Characters of four bytes."""


def _different_words(signs: list[str]) -> str:
    words = itertools.islice(itertools.product(signs, signs, signs), 25_001)
    return " ".join(map("".join, words))[:100_000]


@pytest.mark.parametrize(
    "words",
    [
        _different_words(SQUARED),
        _different_words(RARE),
        "\ufdfa" * 100_000,
        "first " + "\ufdfa " * 49_997,
    ],
    ids=["squared", "rare", "one word", "ligatures"],
)
async def test_texts_that_grow_when_normalised_are_stored(
    storage: Storage, alice: User, words: str
) -> None:
    added = await storage.add(alice, words, words[::-1])
    run = await start(storage, alice, words)
    await storage.finish(finished := ended(run, response=words[::-1]))

    assert await storage.history(alice) == [finished, added]


async def test_a_text_that_cannot_be_indexed_whole_is_found_by_its_beginning(
    storage: Storage, alice: User
) -> None:
    prompt = _different_words(SQUARED)
    response = f"first {prompt[::-1]}"

    run = await storage.add(alice, prompt, response)

    assert await find(storage, alice, prompt[:3]) == [run]
    assert await find(storage, alice, "first") == [run]


async def test_a_text_that_cannot_be_indexed_at_all_is_stored(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_storage(postgres_url, migrate=True) as storage:
        alice = await storage.add_user("alice", None)
        rename = "ALTER TEXT SEARCH CONFIGURATION pg_catalog.{} RENAME TO {}"
        monkeypatch.setattr(indexing, "lexemes", lambda *_: "'")

        await _execute(storage, rename.format("simple", "plain"))
        run = await storage.add(alice, "llama", "")
        await _execute(storage, rename.format("plain", "simple"))

        assert await storage.history(alice) == [run]
        assert await find(storage, alice, "llama") == []


async def _execute(storage: Storage, statement: str) -> None:
    await storage._database.write(lambda c: c.execute(text(statement)).close())
