"""Which runs of a user's history are meant."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, TextClause, or_, select, text

from llamakeep.domain import RunStatus, User, new_id
from llamakeep.storage.database.tables import (
    FAILED_WAYS,
    IS_UNFINISHED,
    is_one_of,
    runs,
)
from llamakeep.storage.history.search import Search, found
from llamakeep.storage.history.tags import has_tag

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What runs have to have in common; `None` asks for nothing."""

    model: str | None = None
    """`provider:model`, or a bare model id."""
    status: RunStatus | None = None
    conversation_id: str | None = None
    api_key_id: str | None = None
    """The API key they were asked with."""
    since: datetime | None = None
    """From this moment on, which is included."""
    until: datetime | None = None
    """Up to this moment, which is not included."""
    tags: tuple[str, ...] = ()
    """Each `key` or `key:value`; they have all of them."""
    search: Search | None = None

    def conditions(self, user: User, dialect: str) -> Iterator[ColumnElement[bool]]:
        """Yield what the filter means for the rows of `user`."""
        yield from self._whose(user)
        if self.model is not None:
            provider, _, bare = self.model.partition(":")
            # Both spellings in one `IN`, so that an index can be used.
            yield runs.c.model.in_([self.model, bare or self.model])
            yield or_(runs.c.model == self.model, runs.c.provider == provider)
        if self.status is not None:
            yield runs.c.status == self.status
        if self.status in FAILED_WAYS:
            # Spelled out, since a partial index is not used for bound parameters.
            yield text(is_one_of(FAILED_WAYS))  # type: ignore[misc] # it is a condition
        if self.conversation_id is not None:
            yield from is_in(user.id, self.conversation_id)
        if self.api_key_id is not None:
            yield runs.c.api_key_id == self.api_key_id
        if self.since is not None:
            yield runs.c.id >= first_id_at(self.since)
        if self.until is not None:
            yield runs.c.id < first_id_at(self.until)
        if self.search is not None:
            ids = found(self.search, user, dialect)
            yield runs.c.id.in_(select(ids.c.id))

    def _whose(self, user: User) -> Iterator[ColumnElement[bool]]:
        if not self.tags and self.conversation_id is None:
            yield runs.c.user_id == user.id
        # They are the user's, and so are their runs; to say so as well would have
        # PostgreSQL expect far too few of them.
        for tag in self.tags:
            yield has_tag(user, tag)


EVERYTHING = RunFilter()


def first_id_at(moment: datetime) -> str:
    """Return the lowest id that a run of that millisecond can have."""
    return new_id("run_", at=max(moment, _EPOCH))[:-16] + 16 * "0"


def is_in(user_id: str, conversation_id: str) -> Sequence[ColumnElement[bool]]:
    """Return what the rows of a user's runs in a conversation have in common."""
    # A conversation has few runs and a user many: the one index is to be used, not the
    # other, which names both.
    return (
        runs.c.conversation_id == conversation_id,
        runs.c.user_id.concat("") == user_id,
    )


def goes_on(user_id: str) -> tuple[ColumnElement[bool], TextClause]:
    """Return what the rows of a user's unfinished runs have in common."""
    # There are few unfinished ones of anybody, and an index of those.
    return runs.c.user_id.concat("") == user_id, IS_UNFINISHED
