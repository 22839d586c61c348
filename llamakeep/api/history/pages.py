"""Pages of runs, with whole texts or their beginnings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from llamakeep.domain import Run, User
from llamakeep.errors import InvalidRequest
from llamakeep.storage import Storage
from llamakeep.storage.history.beginnings import Beginning, shortened
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.listing import is_full
from llamakeep.storage.history.words import SEARCHED

NEWER = "newer."
"""The prefix of cursors to newer runs."""
Cursor = Annotated[str | None, Query(pattern=r"^(newer\.)?run_[0-9a-z]{26}$")]

LONGEST_BEGINNING = 10_000
Length = Annotated[
    int | None,
    Query(
        ge=0,
        le=LONGEST_BEGINNING,
        description="Send the first characters of texts, as many as this, instead of "
        "whole texts.",
    ),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants to see of its runs."""

    user: User
    matching: RunFilter
    limit: int
    length: int | None
    """Characters of each text; `None` for all."""


@dataclass(frozen=True, slots=True)
class Page:
    """Runs, with as much of their texts as was read, and the cursors beside them."""

    found: Sequence[Beginning]
    older: str | None = None
    newer: str | None = None

    @property
    def runs(self) -> Sequence[Run]:
        """The runs."""
        return [each.run for each in self.found]

    def shown(self, length: int | None) -> Sequence[Beginning]:
        """Return the runs with no more than `length` characters of each text."""
        if length is None:
            return self.found
        return [shortened(each, length) for each in self.found]


async def page_of(storage: Storage, asked: Asked, cursor: str | None) -> Page:
    """Return the page at a cursor, newest first."""
    place = (cursor or "").removeprefix(NEWER) or None
    is_backwards = cursor != place
    limit = asked.limit
    found = await storage.beginnings(
        asked.user,
        before=None if is_backwards else place,
        after=place if is_backwards else None,
        oldest_first=is_backwards,
        matching=asked.matching,
        limit=limit + 1,
        length=_read_length(asked),
    )
    has_more = len(found) > limit or is_full([each.run for each in found])
    page = found[:limit][::-1] if is_backwards else found[:limit]
    if not page:
        return Page(page)
    has_older = is_backwards or has_more
    has_newer = has_more if is_backwards else cursor is not None
    return Page(
        page,
        older=page[-1].run.id if has_older else None,
        newer=NEWER + page[0].run.id if has_newer else None,
    )


async def best_page(storage: Storage, asked: Asked, cursor: str | None) -> Page:
    """
    Return the runs that match a search best.

    Raises:
        InvalidRequest: There is no search, or a cursor.
    """
    if asked.matching.search is None or cursor is not None:
        raise InvalidRequest.of(
            "query.sort", "Use `best` with `q`, and without `cursor`."
        )
    found = await storage.best_matches(
        asked.user, asked.matching, limit=asked.limit, length=_read_length(asked)
    )
    return Page(found)


def _read_length(asked: Asked) -> int | None:
    """Return how many characters to read: matches are found in all that is searched."""
    if asked.length is None or asked.matching.search is None:
        return asked.length
    return max(asked.length, SEARCHED)
