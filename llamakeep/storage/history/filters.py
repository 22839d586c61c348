"""Filters of a user's runs."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, TextClause, any_, func, or_, select, text

from llamakeep.domain import UNFINISHED, RunStatus, User, first_id
from llamakeep.domain.runs import Source
from llamakeep.storage.database.conditions import FAILED_WAYS, IS_UNFINISHED, is_one_of
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.search import Search, found
from llamakeep.storage.history.tags import has_tag

_COMPARED = (runs.c.api_key_id, runs.c.end_user, runs.c.source)
"""Columns that are compared with the condition of their name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Conditions on runs; `None` is no condition."""

    model: str | None = None
    """`provider:model`, or a bare model id."""
    statuses: AbstractSet[RunStatus] = frozenset()
    """One of which a run has; if none is named, any."""
    conversation_id: str | None = None
    api_key_id: str | None = None
    """The API key of the request."""
    end_user: str | None = None
    """Whom the client asked for."""
    source: Source | None = None
    """What the run came through."""
    since: datetime | None = None
    """The earliest time, inclusive."""
    until: datetime | None = None
    """The latest time, exclusive."""
    tags: tuple[str, ...] = ()
    """Tags that a run must all have, each `key` or `key:value`."""
    search: Search | None = None

    def conditions(
        self, user: User | None, dialect: str
    ) -> Iterator[ColumnElement[bool]]:
        """Yield the SQL conditions for the runs of `user`, or of all users."""
        if user is None:
            assert not any((self.tags, self.conversation_id, self.search))
        else:
            yield from self._whose(user)
            yield from self._found(user, dialect)
        if self.model is not None:
            provider, _, bare = self.model.partition(":")
            # Both spellings in one `IN`, so that an index can be used.
            yield runs.c.model.in_([self.model, bare or self.model])
            yield or_(runs.c.model == self.model, runs.c.provider == provider)
        for column in _COMPARED:
            if (wanted := getattr(self, column.name)) is not None:
                yield column == wanted
        if self.statuses:
            yield runs.c.status.in_(sorted(self.statuses))
            if self.statuses <= FAILED_WAYS:
                # A literal: SQLite does not use a partial index for bound parameters.
                yield text(is_one_of(FAILED_WAYS))  # type: ignore[misc] # a condition
        if self.since is not None:
            yield runs.c.id >= first_id("run_", self.since)
        if self.until is not None:
            yield runs.c.id < first_id("run_", self.until)

    def _found(self, user: User, dialect: str) -> Iterator[ColumnElement[bool]]:
        if self.conversation_id is not None:
            yield from is_in(user.id, self.conversation_id)
        if self.search is not None:
            ids = select(found(self.search, user, dialect).c.id)
            if dialect == "postgresql":
                # Looked up one by one, whatever is expected of them: PostgreSQL may
                # plan the statement for a search that finds far more, and would read
                # all of the user's runs.
                yield runs.c.id == any_(func.array(ids.scalar_subquery()))
            else:
                yield runs.c.id.in_(ids)

    def _whose(self, user: User) -> Iterator[ColumnElement[bool]]:
        if not self.tags and self.conversation_id is None:
            if self.statuses and self.statuses <= UNFINISHED:
                # By themselves: SQLite would look at all runs in the order of a page.
                few = select(runs.c.id).where(*unfinished_of(user.id))
                yield runs.c.id.in_(few.correlate(None))
            else:
                yield runs.c.user_id == user.id
        # Tags and conversations belong to users, so this implies the user. To name them
        # twice would make PostgreSQL expect far too few rows.
        for tag in self.tags:
            yield has_tag(user, tag)


EVERYTHING = RunFilter()


def is_in(user_id: str, conversation_id: str) -> Sequence[ColumnElement[bool]]:
    """Return the conditions for a user's runs in a conversation."""
    # A conversation has few runs and a user many: the expression keeps the planner from
    # using the user's index.
    return (
        runs.c.conversation_id == conversation_id,
        runs.c.user_id.concat("") == user_id,
    )


def unfinished_of(user_id: str) -> tuple[ColumnElement[bool], TextClause]:
    """Return the conditions for a user's unfinished runs."""
    # Few runs are unfinished: the expression makes the planner use their index.
    return runs.c.user_id.concat("") == user_id, IS_UNFINISHED
