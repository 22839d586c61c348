"""What a word is does not depend on the database, nor on its locale."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamakeep.domain import Reasoning, Refusal, RunStatus, Text, ToolCall, User
from llamakeep.domain.messages import said_in
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import Search, read_search
from llamakeep.storage.history.words import LONGEST, POSITIONS, words_of
from tests.storage.history.test_search import find
from tests.storage.running import ended, new_run, start

JOINERS = {
    "zero width space": "\u200b",
    "apostrophe": "\u2019",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "right-to-left mark": "\u200f",
    "right-to-left override": "\u202e",
    "ideographic space": "\u3000",
    "dash": "\u2014",
    "emoji": "\U0001f999",
}


@pytest.mark.parametrize("sign", JOINERS.values(), ids=JOINERS)
async def test_what_is_no_letter_separates_words(
    storage: Storage, alice: User, sign: str
) -> None:
    run = await storage.add(alice, f"before left{sign}right {sign}after", "")

    for words in ("left", "right", "after", f"left{sign}right", '"left right after"'):
        assert await find(storage, alice, words) == [run], words
    assert await find(storage, alice, "leftright") == []


@pytest.mark.parametrize(
    ("text", "found", "missed"),
    [
        ("CAFÉ Łódź", "café ŁÓDŹ", "cafe"),
        ("ΟΔΟΣ Άλφα", '"οδος άλφα"', "οδο"),
        ("КОТ Ёж", "кот ёж", "еж"),  # noqa: RUF001 - Cyrillic
        ("ԲԱՐԵՒ Հայ", "բարեւ հայ", "բարե"),
        ("ᲗᲑᲘᲚᲘᲡᲘ", "თბილისი", "თბილის"),
        ("ᎠᏂᏴᏫᏯ", "ꭰꮒᏼꮻꮿ", "ꭰ"),
        ("مُحَمَّد\u200f كتاب", "كتاب مُحَمَّد", "محمد"),
        ("שָׁלוֹם\u200e עולם", '"שָׁלוֹם עולם"', "שלום"),
        ("यह\u200bकिताब", "किताब", "कताब"),
        ("এই কলম", "কলম", "কল"),
        ("இது கிளி", "கிளி", "களி"),
        ("มี กัน", "กัน", "กิน"),
        ("នេះ ទឹក", "ទឹក", "ទក"),
        ("天气\uff0c很好", '"天气 很好"', "好"),
        ("ﾗﾏ。ガラス", "ラマ カ\u3099ラス", "カラス"),
        ("한국어 문장", "\u1112\u1161\u11ab국어 문*", "하국어"),
        ("𞤀𞤁𞤂 𐐀𐐁", "𞤢𞤣𞤤 𐐨𐐩", "𞤢"),
        ("\U0001d6a8\U0001d6a9 \uff26\uff35\uff2c\uff2c", "αβ full", "ab"),
        ("İstanbul ISPARTA", "İSTANBUL isparta", "istanbul"),
        ("1e5x 3e5abc 3.14 1-2", '1e5x 3e* "3 14 1 2"', "5x"),
        ("x²y ½ ﬁn", "x2y fin", "x y"),
    ],
)
async def test_words_of_all_scripts_are_found_in_any_case(
    storage: Storage, alice: User, text: str, found: str, missed: str
) -> None:
    run = await storage.add(alice, f"before {text} after", "")

    assert await find(storage, alice, found) == [run]
    assert await find(storage, alice, missed) == []


@pytest.mark.parametrize("letter", ["x", "\U00020000"])
async def test_a_very_long_word_is_found(
    storage: Storage, alice: User, letter: str
) -> None:
    run = await storage.add(alice, f"before {letter * 3001} after", "")

    assert await find(storage, alice, letter * 3001) == [run]
    assert await find(storage, alice, f"{letter * 300}*") == [run]
    assert await find(storage, alice, letter * 3002) == []


async def test_no_phrase_reaches_from_a_prompt_into_its_response(
    storage: Storage, alice: User
) -> None:
    run = await storage.add(alice, "brown", "llama")

    assert await find(storage, alice, "brown llama") == [run]
    assert await find(storage, alice, '"brown llama"') == []


@pytest.mark.parametrize("words", ["us*", "user*", '"brown us"*', "brown u*"])
async def test_the_beginning_of_a_word_is_not_found_in_the_users_id(
    storage: Storage, alice: User, words: str
) -> None:
    await storage.add(alice, "brown", "llama")
    run = await storage.add(alice, "a brown user", "")

    assert await find(storage, alice, words) == [run]
    matching = RunFilter(search=read_search(words))
    [best] = await storage.best_matches(alice, matching, limit=9)
    assert best.run == run


async def test_words_beyond_all_positions_are_found(
    storage: Storage, alice: User
) -> None:
    prompt = "first llama " + "a " * POSITIONS + "brown lla"
    run = await storage.add(alice, prompt, "grey llama")

    assert await find(storage, alice, "brown llama grey") == [run]
    assert await find(storage, alice, '"first lla"*') == [run]


@pytest.fixture
async def both(
    sqlite_url: str, clean_postgres_url: str
) -> AsyncIterator[Sequence[tuple[Storage, User]]]:
    """A user on each database."""
    async with open_storage(sqlite_url) as one, open_storage(clean_postgres_url) as two:
        yield [(each, await each.add_user("alice", None)) for each in (one, two)]


_SIGNS = st.one_of(
    st.sampled_from(" '\"\\*:&|!()<->_\u200b\u2019\u0301\u0345\u00ad\ufe0f\u20e3\r\n"),
    st.characters(categories=["L", "M", "N"]),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
_TEXTS = st.text(_SIGNS, max_size=12)


async def _compare(
    both: Sequence[tuple[Storage, User]], prompt: str, response: str, query: str
) -> None:
    """Search both databases for a text with what is in it, and with what may be."""
    typed = [query, f'"{query}"*', prompt, f"{response} {query}", f"{prompt[:3]}*"]
    typed = [each for each in typed if Search.of(each).terms]
    counts = []
    for storage, alice in both:
        run = await storage.add(alice, prompt, response)
        counts.append([len(await find(storage, alice, words)) for words in typed])
        await storage.delete_run(alice, run.id)
    assert counts[0] == counts[1]
    if prompt in typed:
        assert counts[0][typed.index(prompt)] == 1


@pytest.mark.slow
async def test_both_databases_find_the_same(
    both: Sequence[tuple[Storage, User]],
) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=25, database=None, derandomize=True)
    @given(_TEXTS, _TEXTS, _TEXTS)
    def compare(prompt: str, response: str, query: str) -> None:
        comparing = _compare(both, prompt, response, query)
        asyncio.run_coroutine_threadsafe(comparing, loop).result()

    await asyncio.to_thread(compare)


@given(st.text(_SIGNS))
def test_words_are_the_words_of_their_text(text: str) -> None:
    words = words_of(text)

    assert all(word and len(word) <= LONGEST for word in words)
    assert not set("'\\\"_ ") & set("".join(words))


async def test_what_a_model_calls_and_thinks_is_found(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, "prompt words")
    output = (
        Reasoning("It wonders"),
        Text("said words"),
        ToolCall("call_1", "weather", '{"place": "Zürich"}'),
    )
    await storage.finish(ended(run, response="said words", output=output))
    imported = new_run(
        alice,
        "other",
        status=RunStatus.SUCCEEDED,
        response="other",
        output=(Text("other"), ToolCall("call_2", "clock", "{}")),
    )
    await storage.import_runs(alice, [imported])

    for words in ("wonders", "weather", "zürich", '"said words"', "PLACE"):
        assert [each.id for each in await find(storage, alice, words)] == [run.id]
    assert [each.id for each in await find(storage, alice, "clock")] == [imported.id]
    assert await find(storage, alice, "call_1") == []

    await storage.delete_run(alice, run.id)

    for words in ("wonders", "weather", "zürich", "said"):
        assert await find(storage, alice, words) == []


async def test_texts_on_both_sides_of_a_call_do_not_become_one_word(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    output = (
        Text("Looking"),
        ToolCall("call_1", "look", "{}"),
        Text("Done"),
        Refusal("No"),
    )
    await storage.finish(ended(run, response=said_in(output), output=output))

    for words in ("looking", "done", "no"):
        assert [each.id for each in await find(storage, alice, words)] == [run.id]

    await storage.delete_run(alice, run.id)

    for words in ("looking", "done", "no"):
        assert await find(storage, alice, words) == []
