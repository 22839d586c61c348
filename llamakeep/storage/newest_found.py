"""
Searching, newest first, on PostgreSQL: among the newest runs, if that is enough.

Its index has no order. Of a word that most runs have, it would return them all, only to
have the newest picked out; looking at those, one after the other, takes a few of them.
Which way is the better one shows on the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, literal_column, select, text

from llamakeep.domain import User
from llamakeep.storage.filters import RunFilter
from llamakeep.storage.search import Search
from llamakeep.storage.tables import runs

LONGEST_LOOK = 1500
"""How many runs are looked at, at most; the index finds about so many as quickly."""

_WORDS: ColumnElement[object] = literal_column("runs.search_words")
# Made once for all runs: see `search.py`.
_TERMS = """
    (SELECT CAST(CAST(:owner AS text) AS tsquery) && terms
    FROM to_tsquery('simple', :terms) AS terms WHERE numnode(terms) > 0)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Between which ids to look, and from which end."""

    after: str | None
    before: str | None
    oldest_first: bool

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return what it means for the rows of runs."""
        wanted = []
        if self.after is not None:
            wanted.append(runs.c.id > self.after)
        if self.before is not None:
            wanted.append(runs.c.id < self.before)
        return wanted

    def behind(self, run_id: str) -> "Place":
        """Return what is left when a run was the last that was looked at."""
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
) -> Sequence[str] | None:
    """
    Return the ids of what is found first, in no order, by looking at run after run.

    Args:
        connection: PostgreSQL's.
        user: Whose runs.
        search: What is looked for.
        others: What else they have to have in common.
        place: Where to look.
        limit: At most so many.

    Returns:
        `None` if so few have it that the index is quicker.
    """
    terms = text(_TERMS).bindparams(owner=f"'{user.id}'", terms=search.on_postgresql)
    found: list[str] = []
    looked, step = 0, 2 * limit
    while True:
        order = runs.c.id if place.oldest_first else runs.c.id.desc()
        some = (
            select(runs.c.id, _WORDS.label("words"))
            .where(*others.conditions(user, "postgresql"), *place.conditions())
            .order_by(order)
            .limit(step)
            .subquery()
        )
        rows = connection.execute(select(some.c.id, some.c.words.op("@@")(terms))).all()
        found += [run_id for run_id, is_found in rows if is_found]
        if len(found) >= limit or len(rows) < step:
            return _first(found, limit, oldest_first=place.oldest_first)
        looked += len(rows)
        step = (limit - len(found)) * looked // max(len(found), 1)
        if looked + step > LONGEST_LOOK:
            return None
        last = max if place.oldest_first else min
        place = place.behind(last(run_id for run_id, _ in rows))


def _first(found: list[str], limit: int, *, oldest_first: bool) -> Sequence[str]:
    return sorted(found, reverse=not oldest_first)[:limit]
