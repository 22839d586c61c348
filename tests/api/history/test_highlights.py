"""Where words are that were looked for, and what it costs to show that."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from llamakeep.api.history import highlights as highlighting
from llamakeep.api.history.highlights import MOST_SCANNED, highlights
from llamakeep.domain import Run, RunStatus
from llamakeep.storage.history.search import Search
from llamakeep.storage.history.words import spans_of_words

LONG = "a " * 49_800 + "z"


def runs_of(text: str, number: int = 1) -> list[Run]:
    return [
        Run(
            id=f"run_{each}",
            user_id="user_1",
            status=RunStatus.SUCCEEDED,
            attempt=1,
            provider="scripted",
            model="parrot",
            prompt=text,
            response=text,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for each in range(number)
    ]


def marked(text: str, query: str) -> list[str]:
    """Return what is marked of a text that is searched."""
    [found] = highlights(runs_of(text), Search.of(query)).values()
    assert found.prompt == found.response
    if found.prompt is None:
        return []
    assert "".join(found.prompt).strip("…") in text
    return found.prompt[1::2]


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("A llama and a LLAMA.", "llama", ["llama", "LLAMA"]),
        ("in, inside, thin, IN", "in", ["in", "IN"]),
        ("in, inside, thin", "in*", ["in", "inside"]),
        ("to be, or not to be", '"to be"', ["to be", "to be"]),
        ("to be, or not to_be", '"to be"', ["to be", "to_be"]),
        ("new York; new yorkers", '"new york"*', ["new York", "new yorkers"]),
        ("new York; new yorkers", '"new york"', ["new York"]),
        ("new, york", 'york "new york"', ["new, york"]),
        ("one two three", "three one", ["one", "three"]),
        ("x", "y", []),
        ("İzmir ve sonra Ankara", '"sonra ankara"', ["sonra Ankara"]),
        ("the a " * 3000 + "of the end", '"of the"', ["of the"]),
        (LONG, '"' + "a " * 15 + 'z"', ["a " * 15 + "z"]),
        ("inside " * 3000 + "in", "in", ["in"]),
        (" ".join("abcdefghijkl"), "a b c d e f g h i j", list("abcdefghij")),
    ],
)
def test_what_was_looked_for_is_marked(
    text: str, query: str, expected: list[str]
) -> None:
    assert marked(text, query) == expected


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ('"' + "a " * 240 + 'z"', LONG),
        ('"' + "a " * 240 + 'y"', LONG),
        (" ".join(f'"{"a " * 7}{chr(98 + n)}"' for n in range(24)), LONG),
        (" ".join(f"{chr(97 + n % 25)}{chr(97 + n // 25)}" for n in range(160)), LONG),
        (" ".join(f"{chr(97 + n)}*" for n in range(25)), "zz " * 33_000),
        ('"a a"*', LONG.replace(" ", "b ")),
        ("llama", LONG),
    ],
)
def test_what_it_costs_is_bounded_by_the_page(
    monkeypatch: pytest.MonkeyPatch, query: str, text: str
) -> None:
    seen = 0

    def counted(text: str) -> Iterator[tuple[int, int]]:
        nonlocal seen
        for span in spans_of_words(text):
            seen += 1
            yield span

    monkeypatch.setattr(highlighting, "spans_of_words", counted)

    highlights(runs_of(text, 50), Search.of(query))

    # Each word has one character and one beside it, and few are looked at twice.
    assert seen < MOST_SCANNED * 0.7


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Un Café noir", "cafe\u0301", ["Café"]),
        ("Un Cafe\u0301 noir", "café", ["Cafe\u0301"]),
        ("un cafe\u0301 noir ou cafe", '"café noir"', ["cafe\u0301 noir"]),
        ("มี กิน กัน", "กัน", ["กัน"]),
        ("यह किताब है", "कि*", ["किताब"]),
        ("\uff26\uff55\uff4c\uff4c full", "full", ["\uff26\uff55\uff4c\uff4c", "full"]),
    ],
)
def test_what_was_found_is_marked_as_it_was_written(
    text: str, query: str, expected: list[str]
) -> None:
    assert marked(text, query) == expected
