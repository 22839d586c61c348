"""
The context of a prompt: the earlier messages that the model gets with it.

A prompt follows either all answered runs of its conversation, or the run it names,
which may also have been interrupted: then the model gets what came of its answer. A
chain of named runs is followed link by link, in whatever order their ids are; when it
reaches a run that follows its whole conversation, the answered runs before that one
belong to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Text,
    cast,
    func,
    select,
)

from llamakeep.domain import Run, RunStatus
from llamakeep.domain.embeddings import ALONE
from llamakeep.domain.runs import FOLLOWS_NOTHING
from llamakeep.errors import (
    ContextTooLarge,
    ConversationNotFound,
    RunNotAnswered,
    RunNotFound,
)
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.filters import is_in
from llamakeep.storage.runs.rows import READ, to_run

OVERHEAD = 512
"""
Bytes counted for each run beside its texts, so that very many short ones have a bound.
"""

CONTINUED = (RunStatus.SUCCEEDED, RunStatus.INTERRUPTED)
"""The statuses of a run that may be named as the one to follow."""

AT_ONCE = 500
"""Runs read by id in one statement."""


@dataclass(frozen=True, slots=True)
class Context:
    """The runs that a prompt follows."""

    conversation_id: str | None
    runs: Sequence[Run]
    """Oldest first."""
    newest_run_id: str | None
    """The highest id in the conversation; a new run's id has to be higher."""


NO_CONTEXT = Context(None, (), None)


class ContextStorage:
    """Reads the context of prompts."""

    _database: Database

    async def context(
        self,
        user_id: str,
        conversation_id: str | None,
        *,
        previous_run_id: str | None = None,
        before: str | None = None,
        most: int,
    ) -> Context:
        """
        Return the runs that a prompt follows.

        A new prompt that names a run (`previous_run_id`) needs no conversation, and one
        that follows nothing still belongs to its conversation. One
        that is stored already is not among those `before` it. All texts together have
        at most `most` bytes.

        Raises:
            ContextTooLarge: The texts have more.
            ConversationNotFound: The user has no such conversation.
            RunNotFound: The user has no run of the id that a new prompt names.
            RunNotAnswered: That run has no answer to continue.
        """

        def operation(connection: Connection) -> Context:
            place = conversation_id
            is_linked = previous_run_id not in {None, FOLLOWS_NOTHING}
            if is_linked and before is None:
                assert previous_run_id is not None
                place = _conversation_of(connection, user_id, previous_run_id)
            assert place is not None
            reader = _Reader(connection, user_id, place, most)
            newest = reader.newest()
            if before is None and (newest is None or place.startswith(ALONE)):
                raise ConversationNotFound(
                    f"There is no conversation {place!r} in your history. "
                    "Nothing was stored. Leave `conversation_id` out to begin one."
                )
            ids = reader.followed(previous_run_id, before)
            return Context(place, reader.runs(ids), newest)

        return await self._database.read(operation)


def _conversation_of(connection: Connection, user_id: str, run_id: str) -> str:
    query = select(runs.c.status, runs.c.conversation_id, runs.c.store).where(
        runs.c.id == run_id, runs.c.user_id == user_id
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RunNotFound(f"There is no run {run_id!r} in your history.")
    is_of_vectors = row.conversation_id.startswith(ALONE)
    if is_of_vectors or row.status not in CONTINUED:
        is_it = "is of vectors" if is_of_vectors else f"is {row.status}"
        raise RunNotAnswered(
            f"The run {run_id!r} {is_it}: nothing can follow an answer that is not "
            "there. Nothing was stored."
        )
    if row.store is False:
        raise RunNotAnswered(
            f"The texts of the run {run_id!r} were not to be stored, and are erased: "
            "nothing can follow them. Nothing was stored. Send what was said before "
            "along with the prompt."
        )
    return str(row.conversation_id)


class _Reader:
    """Reads one conversation and adds up the size of its texts."""

    def __init__(
        self, connection: Connection, user_id: str, conversation_id: str, most: int
    ) -> None:
        self._connection = connection
        self._belongs = is_in(user_id, conversation_id)
        # Of the others, nothing is left that could be told.
        is_kept = (*self._belongs, runs.c.store.is_distinct_from(False))
        self._is_answered = (*is_kept, runs.c.status == RunStatus.SUCCEEDED)
        self._is_linked = (*is_kept, runs.c.status.in_(CONTINUED))
        self._size = _size(connection.dialect.name)
        self._most = most
        self._total = 0

    def newest(self) -> str | None:
        """Return the conversation's highest run id, whatever that run's status."""
        query = (
            select(runs.c.id).where(*self._belongs).order_by(runs.c.id.desc()).limit(1)
        )
        return self._connection.scalar(query)

    def followed(self, previous_run_id: str | None, before: str | None) -> list[str]:
        if previous_run_id is None:
            return self._answered(before)[::-1]
        if previous_run_id == FOLLOWS_NOTHING:
            return []
        chain = self._chain(previous_run_id)
        links = {row.id: row for row in self._connection.execute(select(chain))}
        found: list[str] = []
        link = links.pop(previous_run_id, None)
        while link is not None:
            self._count(link.size)
            found.append(link.id)
            if link.previous_run_id is None:
                found += self._answered(link.id, without=[*found, before])
                break
            # `pop`, since an imported chain may contain a cycle.
            link = links.pop(link.previous_run_id, None)
        return found[::-1]

    def runs(self, ids: Sequence[str]) -> Sequence[Run]:
        found: dict[str, Run] = {}
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            query = select(*READ).where(runs.c.id.in_(some))
            for row in self._connection.execute(query):
                run = to_run(row)
                found[run.id] = run
        # On PostgreSQL, a run may have been deleted since its id was read.
        return [found[each] for each in ids if each in found]

    def _answered(
        self, before: str | None, *, without: Iterable[str | None] = ()
    ) -> list[str]:
        query = (
            select(runs.c.id, self._size.label("size"))
            .where(*self._is_answered)
            .order_by(runs.c.id.desc())
            .limit(self._most // OVERHEAD + 1)
        )
        if before is not None:
            query = query.where(runs.c.id < before)
        if self._connection.dialect.name == "postgresql":
            query = query.execution_options(stream_results=True)
        known = frozenset(without)  # a run that is linked to is counted once
        found = []
        with self._connection.execute(query) as rows:
            for row in rows:
                if row.id not in known:
                    self._count(row.size)
                    found.append(row.id)
        return found

    def _chain(self, run_id: str) -> CTE:
        """Query the linked runs, newest first, until their size exceeds the bound."""
        columns = (runs.c.id, runs.c.previous_run_id, self._size.label("size"))
        counted = cast(self._size + OVERHEAD, BigInteger)
        chain = (
            select(*columns, counted.label("total"))
            .where(*self._is_linked, runs.c.id == run_id)
            .cte("chain", recursive=True)
        )
        following = (
            select(*columns, chain.c.total + counted)
            .join(chain, chain.c.previous_run_id == runs.c.id)
            .where(*self._is_linked, chain.c.total <= self._most)
        )
        return chain.union_all(following)

    def _count(self, size: int) -> None:
        self._total += size + OVERHEAD
        if self._total > self._most:
            _refuse(self._most)


def _refuse(most: int) -> NoReturn:
    raise ContextTooLarge(
        "The prompt and what was said before it have more than "
        f"{most / 1024**2:g} MiB together, which is as much as a model is given here. "
        "Nothing was stored. Begin another conversation, with what has to be known "
        "from this one in its first prompt; or follow an earlier run, with "
        "`previous_run_id` on /prompt/ or `previous_response_id` on /v1/responses."
    )


def _size(dialect: str) -> ColumnElement[int]:
    """Return the size of a run's texts in bytes."""
    told: list[ColumnElement[Any]] = [runs.c.prompt, runs.c.response]
    if dialect == "postgresql":
        sizes = [func.octet_length(text) for text in told]
        more = [func.octet_length(cast(facts, Text)) for facts in _FACTS]
    else:
        sizes = [func.length(cast(text, LargeBinary)) for text in told]
        more = [func.length(cast(facts, LargeBinary)) for facts in _FACTS]
    size = sizes[0] + sizes[1]
    for each in more:
        size += func.coalesce(each, 0)
    return size


_FACTS = (runs.c.earlier, runs.c.last_message, runs.c.output)
