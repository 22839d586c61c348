"""Highlighting of search terms in prompts and responses."""

import re
from collections.abc import Iterator, Sequence

from llamakeep.domain import Run
from llamakeep.schemas.bodies import Body
from llamakeep.storage.history.search import Search, Term
from llamakeep.storage.history.words import SEARCHED, normalized, spans_of_words

BEFORE = 60
"""Characters of context before the first match."""
LENGTH = 240
"""Characters of an excerpt."""
MOST_SCANNED = 1_000_000
"""Characters of a page that are scanned word by word, in less than a second."""
FEW = 8
"""Up to so many words are found by one regular expression instead."""
QUICKER = 32
"""How much faster that is, for one word."""
BLOCK = 1_000
"""Characters scanned at a time for a phrase, so that windows hardly overlap."""


class Highlights(Body):
    """
    An excerpt of each text that has a match.

    It is split at the matches: every second part, from the second one on, is a match.
    """

    prompt: list[str] | None
    response: list[str] | None


def highlights(runs: Sequence[Run], search: Search) -> dict[str, Highlights]:
    """
    Return the excerpts of each run, by its id.

    The work for a page is bounded; runs beyond it get no excerpts. Each step takes only
    milliseconds, since it holds Python's global lock.
    """
    finder = _Finder(search)
    return {
        run.id: Highlights.model_construct(
            prompt=finder.piece(run.prompt), response=finder.piece(run.response)
        )
        for run in runs
    }


class _Finder:
    """Finds terms in the texts of a page, until `MOST_SCANNED` is used up."""

    def __init__(self, search: Search) -> None:
        single = [term for term in search.terms if len(term.words) == 1]
        self._words = {
            normalized(term.words[0]) for term in single if not term.is_prefix
        }
        prefixes = {normalized(term.words[0]) for term in single if term.is_prefix}
        self._starts = self._words | prefixes
        self._prefixes = {
            length: {each for each in prefixes if len(each) == length}
            for length in sorted(set(map(len, prefixes)))
        }
        self._few = re.compile(
            "|".join(map(_pattern, single)) if len(single) <= FEW else "",
            re.IGNORECASE,
        )
        self._phrases = [_Phrase(term) for term in search.terms if len(term.words) > 1]
        self._left = MOST_SCANNED

    def piece(self, text: str) -> list[str] | None:
        searched = text[:SEARCHED]
        lowered = normalized(searched)
        first = self._first_word(searched, lowered)
        for phrase in self._phrases:
            found = self._first_phrase(phrase, searched, lowered)
            if found is not None and (first is None or found < first):
                first = found
        return None if first is None else self._cut(text, *first)

    def _first_word(self, text: str, lowered: str) -> tuple[int, int] | None:
        if self._left < 0 or not self._starts:
            return None
        is_few = len(self._starts) <= FEW
        if is_few and not any(word in lowered for word in self._starts):
            return None
        if self._few.pattern and text.isascii():
            found = self._few.search(text)
            last = len(text) if found is None else found.end()
            self._left -= last * self._few.pattern.count("(?<") // QUICKER
            return None if found is None else found.span()
        for start, end, compared in _words(text):
            if compared in self._words or (
                self._prefixes and self._is_wanted(compared)
            ):
                self._left -= end
                return start, end
        self._left -= len(text)
        return None

    def _is_wanted(self, word: str) -> bool:
        return word in self._words or any(
            word[:length] in those for length, those in self._prefixes.items()
        )

    def _first_phrase(
        self, phrase: "_Phrase", text: str, lowered: str
    ) -> tuple[int, int] | None:
        """Return the first match of a phrase, searching around its rarest word."""
        if self._left < 0:
            return None
        if len(lowered) != len(text):  # so their positions differ
            self._left -= len(text)
            return next(_spans_of(phrase, list(_words(text))), None)
        counts = {word: lowered.count(word) for word in phrase.certain}
        self._left -= len(counts) * len(lowered) // QUICKER
        rarest = min(counts, key=lambda word: counts[word])
        place = lowered.find(rarest)
        while place >= 0 and self._left > 0:
            begin = max(0, place - phrase.reach)
            stop = min(place + 2 * phrase.reach + BLOCK, len(lowered))
            self._left -= stop - begin
            window = list(_words(text[begin:stop], begin))
            for span in _spans_of(phrase, window):
                return span
            # A phrase around a later occurrence may end outside the window.
            place = lowered.find(rarest, max(place + 1, stop - phrase.reach))
        return None

    def _cut(self, text: str, start: int, stop: int) -> list[str]:
        begin = max(0, start - BEFORE)
        end = max(stop, begin + LENGTH)
        words = list(_words(text[start:end], start))
        spans = [(first, end) for first, end, word in words if self._is_wanted(word)]
        for phrase in self._phrases:
            spans += _spans_of(phrase, words)
        parts, place = [], begin
        for first, last in sorted(spans, key=lambda span: (span[0], -span[1])):
            if first >= place:
                parts += [text[place:first], text[first:last]]
                place = last
        parts.append(text[place:end])
        if begin > 0:
            parts[0] = "…" + parts[0]
        if end < len(text):
            parts[-1] += "…"
        return parts


class _Phrase:
    """Adjacent words, of which the last may be a prefix."""

    def __init__(self, term: Term) -> None:
        self.words = [normalized(word) for word in term.words]
        self.is_prefix = term.is_prefix
        self.certain = dict.fromkeys(self.words[:-1] if term.is_prefix else self.words)
        """The words that are no prefix."""
        self.reach = 4 * sum(len(word) + 1 for word in self.words)
        """Characters around one word within which the whole phrase lies."""


_Word = tuple[int, int, str]
"""Its start, its end and its normalized form; a plain tuple for speed."""


def _words(text: str, offset: int = 0) -> Iterator[_Word]:
    """Yield the words of `text`, whose first character is at `offset`."""
    if text.isascii():
        lowered = text.lower()
        for start, end in spans_of_words(text):
            yield offset + start, offset + end, lowered[start:end]
        return
    for start, end in spans_of_words(text):
        yield offset + start, offset + end, normalized(text[start:end])


def _spans_of(phrase: _Phrase, words: Sequence[_Word]) -> Iterator[tuple[int, int]]:
    lowered = [compared for _, _, compared in words]
    number = len(phrase.words)
    last = phrase.words[-1]
    for start in range(len(words) - number + 1):
        if lowered[start] != phrase.words[0]:
            continue
        stop = start + number - 1
        is_last = lowered[stop] == last
        if phrase.is_prefix:
            is_last = lowered[stop].startswith(last)
        if is_last and lowered[start:stop] == phrase.words[:-1]:
            yield words[start][0], words[stop][1]


def _pattern(term: Term) -> str:
    end = r"[^\W_]*" if term.is_prefix else r"(?![^\W_])"
    return rf"(?<![^\W_]){re.escape(term.words[0])}{end}"
