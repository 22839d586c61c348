"""
What a word is, and what the full-text index of each database has of a text.

A word is letters and digits with their marks: accents, vowel signs, tones. Texts are
compared in Unicode's form NFKC and in lower case, so that it does not matter how they
were typed. Both databases are given words, rather than texts that they would split by
rules and a locale of their own.

In SQLite's index, which all users share, a search pays for the texts of all users: the
list of the runs with a word is as long as all of them are. A few characters of the user
before each word make it one list for each user, and a rank that only counts theirs.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence

from llamakeep.storage.runs.parts import Stored

SEARCHED = 100_000
"""Characters from a text's beginning; no more are indexed."""
MARK = 4
"""
Characters that stand for a user: the last ones of the id, which are random.

Users who share them share lists, too; that is a matter of time only, since what is
found is still narrowed to the user.
"""

LONGEST = 500
"""Characters of a word, 2,000 bytes at most; the rest is another word."""
POSITIONS, OTHER_POSITION = 16_380, 16_383
"""Words of a run that have a position on PostgreSQL, and the position of the others."""

_WORD = re.compile(rf"[^\W_]\S{{0,{LONGEST - 1}}}")

_SHOWING = frozenset({*range(0xFE00, 0xFE10), 0x20E3})
"""Marks that only say how an emoji is shown."""

_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


class _Signs(dict[int, str]):
    """What stands for a character: itself in a word, and between words a space."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        is_one = sign.isalnum() or unicodedata.category(sign)[0] == "M"
        if is_one and code not in _SHOWING:
            self[code] = sign
        else:
            self[code] = " "
        return self[code]


_SIGNS = _Signs()
FEW_SIGNS = 64
"""Up to so many different ones, it is faster to replace each in the whole text."""


def spans_of_words(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the words of a text are: letters and digits, with their marks."""
    for match in _WORD.finditer(_spaced(text)):
        yield match.span()


def _spaced(text: str) -> str:
    """Return a text with spaces for all that stands between words."""
    if not text.isascii():
        signs = [sign for sign in set(text) if _SIGNS[ord(sign)] == " "]
        if len(signs) <= FEW_SIGNS:
            for sign in signs:
                text = text.replace(sign, " ")
            return text
    return text.translate(_SIGNS)


def normalized(text: str) -> str:
    """Return a text as it is compared: however it is written, and in lower case."""
    lowered = unicodedata.normalize("NFKC", text).lower()
    # Which lower case a sigma gets depends on what follows its word.
    return lowered.replace("\N{GREEK SMALL LETTER FINAL SIGMA}", _SIGMA)


def words_of(text: str) -> list[str]:
    """Return the words of a text's beginning, as they are compared."""
    beginning = normalized(text[:SEARCHED])[:SEARCHED]  # one sign may become many
    spaced = _spaced(beginning)
    words = spaced.split()
    if all(word[0].isalnum() and len(word) <= LONGEST for word in words):
        return words
    return _WORD.findall(spaced)  # ten times slower


def said_by_model(response: str, output: Stored | None) -> str:
    """Return a response, and what its other items say: reasoning and tool calls."""
    if not output:
        return response
    said: list[str] = []
    more: list[str] = []
    at = 0
    for each in output:
        if "text" in each:
            more.append(f"{each.get('name', '')} {each['text']}")
        else:  # it is in the response, where the next one may go on in its last word
            said.append(response[at : at + each["length"]])
            at += each["length"]
    return "\n".join((*said, response[at:], *more))


def own_words(user_id: str, text: str, output: str | None = None) -> str:
    """Return the words of a text of that user, as SQLite indexes them."""
    items = None if output is None else json.loads(output)
    return marked(user_id, words_of(said_by_model(text, items)))


def marked(user_id: str, words: Sequence[str]) -> str:
    """Return words of that user, as SQLite looks for them."""
    mark = user_id[-MARK:]
    return mark + f" {mark}".join(words) if words else ""


def lexemes(
    user_id: str, prompt: str, response: str, output: Stored | None = None
) -> str:
    """
    Return the words of a run as a PostgreSQL `tsvector`, in less than a megabyte.

    Words beyond `POSITIONS` are found, but in no phrase.
    """
    first = words_of(prompt)
    second = words_of(said_by_model(response, output))
    # Without a gap, a phrase would reach from one text into the other.
    placed = [*enumerate(first, 1), *enumerate(second, len(first) + 2)]
    rest = {word for _, word in placed[POSITIONS:]}
    parts = [f"'{user_id}'"]  # no word has a quote
    parts += [f"'{word}':{position}" for position, word in placed[:POSITIONS]]
    parts += [f"'{word}':{OTHER_POSITION}" for word in rest]
    return " ".join(parts)
