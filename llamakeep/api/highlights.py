"""Where in a run's texts the words are that were looked for."""

import re
from collections.abc import Sequence

from llamakeep.api.bodies import Body
from llamakeep.domain import Run
from llamakeep.storage.search import Search, Term

BEFORE = 60
LENGTH = 240
"""Characters of a piece: enough to see what it is about."""
SEARCHED = 100_000
"""Characters from a text's beginning; no more are indexed."""


class Highlights(Body):
    """
    A piece of each text that has any of the words.

    It is cut where the words begin and end: every second part, from the second one on,
    is one that was looked for.
    """

    prompt: list[str] | None
    response: list[str] | None


def highlights(runs: Sequence[Run], search: Search) -> dict[str, Highlights]:
    """Return what to show of each run, by its id."""
    pattern = re.compile(
        "|".join(f"({_pattern(term)})" for term in search.terms), re.IGNORECASE
    )
    return {
        run.id: Highlights.model_construct(
            prompt=_piece(run.prompt, pattern), response=_piece(run.response, pattern)
        )
        for run in runs
    }


def _pattern(term: Term) -> str:
    words = r"[\W_]+".join(re.escape(word) for word in term.words)
    end = r"[^\W_]*" if term.is_prefix else r"(?![^\W_])"
    return rf"(?<![^\W_]){words}{end}"


def _piece(text: str, pattern: re.Pattern[str]) -> list[str] | None:
    first = pattern.search(text, 0, SEARCHED)
    if first is None:
        return None
    begin = max(0, first.start() - BEFORE)
    end = max(first.end(), begin + LENGTH)
    parts, place = [], begin
    for match in pattern.finditer(text, first.start(), end):
        parts += [text[place : match.start()], match.group()]
        place = match.end()
    parts.append(text[place:end])
    if begin > 0:
        parts[0] = "…" + parts[0]
    if end < len(text):
        parts[-1] += "…"
    return parts
