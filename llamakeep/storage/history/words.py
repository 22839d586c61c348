"""
What a word is, and what SQLite's full-text index has of a text: each its user's own.

A word is letters and digits with their marks: accents, vowel signs, tones. Texts are
compared in Unicode's form NFKC, so that it does not matter how they were typed.

In an index that all users share, a search pays for the texts of all users: the list
of the runs with a word is as long as all of them are. A few characters of the user
before each word make it one list for each user, and a rank that only counts theirs.
"""

import re
import unicodedata
from collections.abc import Iterator

SEARCHED = 100_000
"""Characters from a text's beginning; no more are indexed."""
MARK = 4
"""
Characters that stand for a user: the last ones of the id, which are random.

Users who share them share lists, too; that is a matter of time only, since what is
found is still narrowed to the user.
"""

_WORD = re.compile(r"[^\W_]\S*")


_SHOWING = frozenset({*range(0xFE00, 0xFE10), 0x20E3})
"""Marks that only say how an emoji is shown."""


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


def spans_of_words(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the words of a text are: letters and digits, with their marks."""
    for match in _WORD.finditer(text.translate(_SIGNS)):
        yield match.span()


def normalized(text: str) -> str:
    """Return a text as it is compared: however it is written, and in lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def words_of(text: str) -> list[str]:
    """Return the words of a text, however they are written, in their own case."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).translate(_SIGNS))


def own_words(user_id: str, text: str) -> str:
    """Return the words of a text of that user, as they are indexed and looked for."""
    mark = user_id[-MARK:]
    words = words_of(text[:SEARCHED].lower())
    return mark + f" {mark}".join(words) if words else ""
