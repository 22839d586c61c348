"""
What SQLite's full-text index has of a text: its words, each made its user's own.

In an index that all users share, whoever searches pays for everybody's texts: the list
of the runs with a word is as long as all of them are. A few characters of the user
before each word make it one list for each user, and a rank that only counts theirs.
"""

import re

SEARCHED = 100_000
"""Characters from a text's beginning; no more are indexed."""
MARK = 4
"""
Characters that stand for a user: the last ones of the id, which are random.

Users who share them share lists, too; that is a matter of time only, since what is
found is still narrowed to the user.
"""

# An accent of its own belongs to its letter.
_WORD = re.compile("(?:[^\\W_]|[\u0300-\u036f])+")


def own_words(user_id: str, text: str) -> str:
    """Return the words of a text of that user, as they are indexed and looked for."""
    mark = user_id[-MARK:]
    words = _WORD.findall(text, 0, SEARCHED)
    return mark + f" {mark}".join(words) if words else ""
