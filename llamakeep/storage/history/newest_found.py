"""
Search on PostgreSQL, newest first, in the newest runs if these are enough.

The full-text index has no order: for a word that most runs have, it returns all of them
to find the newest. To test the newest runs one by one takes a few. The runs tested show
which way is faster, and which words are too frequent to ask the index for: its lists
have all users' runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    func,
    literal_column,
    select,
    text,
)

from llamakeep.domain import User
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import Search

LONGEST_LOOK = 1500
"""The number of runs tested; the index finds about so many in the same time."""

APART = 5
"""The number of parts of a search that are tested separately."""

RARE, FREQUENT = 0.05, 0.25
"""Shares of the tested runs: rare words are asked for, and frequent ones filtered."""

_WORDS: ColumnElement[object] = literal_column("runs.search_words")
# A subquery is evaluated once for all runs.
_TERMS = "(SELECT CAST(CAST(:terms{0} AS text) AS tsquery))"


@dataclass(frozen=True, slots=True)
class Place:
    """A range of ids, and the end to begin at."""

    after: str | None
    before: str | None
    oldest_first: bool

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return the SQL conditions for the range."""
        wanted = []
        if self.after is not None:
            wanted.append(runs.c.id > self.after)
        if self.before is not None:
            wanted.append(runs.c.id < self.before)
        return wanted

    def behind(self, run_id: str) -> "Place":
        """Return the rest of the range after a run."""
        if self.oldest_first:
            return Place(run_id, self.before, oldest_first=True)
        return Place(self.after, run_id, oldest_first=False)


def find_newest(
    connection: Connection,
    user: User,
    search: Search,
    others: RunFilter,
    *,
    place: Place,
    limit: int,
) -> Sequence[str] | Search:
    """
    Return the ids of the first matches, unordered, by testing run after run.

    Args:
        connection: PostgreSQL's.
        user: The runs' owner.
        search: The search.
        others: Other conditions.
        place: The range.
        limit: The largest number of ids.

    Returns:
        The search to use the index with, if that is faster.
    """
    parts = _parts(search)
    looked: list[Sequence[bool | None]] = []
    found: list[str] = []
    step = 2 * limit
    while True:
        order = runs.c.id if place.oldest_first else runs.c.id.desc()
        some = (
            select(runs.c.id, _WORDS.label("words"))
            .where(*others.conditions(user, "postgresql"), *place.conditions())
            .order_by(order)
            .limit(step)
            .subquery()
        )
        without_owner = func.ts_delete(some.c.words, user.id)
        has_each = [
            (without_owner if part.like_owner(user) else some.c.words).op("@@")(terms)
            for part, terms in zip(parts, _terms(parts), strict=True)
        ]
        rows = connection.execute(select(some.c.id, *has_each)).all()
        looked += [row[1:] for row in rows]
        found += [row[0] for row in rows if True in row[1:] and False not in row[1:]]
        if len(found) >= limit or len(rows) < step:
            return _first(found, limit, oldest_first=place.oldest_first)
        step = (limit - len(found)) * len(looked) // max(len(found), 1)
        if len(looked) + step > LONGEST_LOOK:
            return _without_frequent(search, parts, looked)
        last = max if place.oldest_first else min
        place = place.behind(last(row[0] for row in rows))


def _parts(search: Search) -> Sequence[Search]:
    apart = search.terms[: APART - 1], search.terms[APART - 1 :]
    return [Search((term,)) for term in apart[0]] + [Search(apart[1])] * bool(apart[1])


def _terms(parts: Sequence[Search]) -> Iterator[TextClause]:
    for n, part in enumerate(parts):
        values = {f"terms{n}": part.on_postgresql}
        yield text(_TERMS.format(n)).bindparams(**values)


def _without_frequent(
    search: Search, parts: Sequence[Search], looked: Sequence[Sequence[bool | None]]
) -> Search:
    """Return the search for the index, without words that most runs have."""
    shares = {
        part: sum(map(bool, has)) / len(looked)
        for part, has in zip(parts, zip(*looked, strict=True), strict=True)
        if any(each is not None for each in has)
    }
    if min(shares.values(), default=1) > RARE:
        return search
    frequent = [part.terms for part, share in shares.items() if share >= FREQUENT]
    return replace(search, frequent=tuple(chain.from_iterable(frequent)))


def _first(found: list[str], limit: int, *, oldest_first: bool) -> Sequence[str]:
    return sorted(found, reverse=not oldest_first)[:limit]
