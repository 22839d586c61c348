"""Lists of a user's runs, newest first."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, select

from llamakeep.domain import Run, User
from llamakeep.domain.runs import whole_length_of
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.beginnings import COLUMNS, Beginning, to_beginning
from llamakeep.storage.history.filters import EVERYTHING, RunFilter
from llamakeep.storage.history.newest_found import Place, find_newest
from llamakeep.storage.history.search import (
    Search,
    SearchStorage,
    found,
    is_found,
    is_frequent,
)
from llamakeep.storage.runs.long_texts import WITHOUT_LONG, to_run_without_long
from llamakeep.storage.runs.rows import READ, to_run

MORE = 8
"""How many times a page is read, as some may be another user's (see `words.py`)."""

MUCH = 16 * 1024 * 1024
"""The characters of text that make a page full."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """What is read of each run."""

    columns: Sequence[ColumnElement[Any]]
    read: Callable[[Row[Any]], T]
    length: Callable[[T], int]
    values: Mapping[str, Any]


def _length(run: Run) -> int:
    return whole_length_of([run])


_WHOLE = Form(READ, to_run, _length, {})


def is_full(page: Iterable[Run], *, much: int = MUCH) -> bool:
    """Return whether a page ended before its limit because its texts are long."""
    return whole_length_of(page) >= much


class HistoryStorage(SearchStorage):
    """Reads a user's history."""

    async def history(
        self,
        user: User,
        *,
        before: str | None = None,
        after: str | None = None,
        oldest_first: bool = False,
        matching: RunFilter = EVERYTHING,
        limit: int = 50,
        is_page: bool = False,
        much: int = MUCH,
        longest: int | None = None,
    ) -> Sequence[Run]:
        """
        Return the runs of `user`, newest first by default.

        With `is_page`, they end early where `much` characters fill the page. Responses
        of more than `longest` bytes are `STORED` instead of read. The ids `before` and
        `after` need not be a run's.
        """
        form = _WHOLE
        if longest is not None:
            values = {"longest": longest}
            form = Form(WITHOUT_LONG, to_run_without_long, _length, values)
        place = Place(after, before, oldest_first=oldest_first)
        most = much if is_page else None
        return await self._listed(user, form, place, matching, limit=limit, much=most)

    async def beginnings(
        self,
        user: User,
        *,
        length: int | None,
        before: str | None = None,
        after: str | None = None,
        oldest_first: bool = False,
        matching: RunFilter = EVERYTHING,
        limit: int = 50,
    ) -> Sequence[Beginning]:
        """
        Return a page of what `history` does, with the beginnings of texts.

        These have at most `length` characters; with `None`, texts are whole.
        """
        place = Place(after, before, oldest_first=oldest_first)
        form = _beginnings(length)
        return await self._listed(user, form, place, matching, limit=limit, much=MUCH)

    async def beginnings_of(
        self, user: User, run_ids: Collection[str], *, length: int
    ) -> Mapping[str, Beginning]:
        """Return those of the runs that are the user's, by id."""
        query = select(*COLUMNS).where(
            runs.c.user_id == user.id, runs.c.id.in_(run_ids)
        )
        found = await self._database.read(
            lambda connection: [
                to_beginning(row)
                for row in connection.execute(query, {"length": length})
            ]
        )
        return {each.run.id: each for each in found}

    async def _listed(
        self,
        user: User,
        form: Form[T],
        place: Place,
        matching: RunFilter,
        *,
        limit: int,
        much: int | None,
    ) -> Sequence[T]:
        """Return runs, and no more of them once they have `much` characters."""
        search = matching.search
        others = replace(matching, search=None)

        def operation(connection: Connection) -> Sequence[T]:
            dialect = connection.dialect.name
            query = select(*form.columns)
            newest: Sequence[str] | Search | None = search
            if search is not None and dialect == "postgresql":
                newest = find_newest(
                    connection, user, search, others, place=place, limit=limit
                )
            if search is not None and is_frequent(connection, search, user):
                query = query.where(
                    *others.conditions(user, dialect), is_found(search, user)
                )
            elif newest is None or isinstance(newest, Search):
                indexed = replace(matching, search=newest)
                query = query.where(*indexed.conditions(user, dialect))
            else:
                query = query.where(runs.c.id.in_(newest))
            order = runs.c.id if place.oldest_first else runs.c.id.desc()
            query = query.where(*place.conditions()).order_by(order).limit(limit)
            if much is None:
                rows = connection.execute(query, form.values)
                return [form.read(row) for row in rows]
            page: list[T] = []
            length = 0
            if dialect == "postgresql":
                # Spares reading rows that are not on the page.
                query = query.execution_options(stream_results=True)
            with connection.execute(query, form.values) as rows:
                for row in rows:
                    page.append(form.read(row))
                    length += form.length(page[-1])
                    if length >= much:
                        break
            return page

        if search is not None:
            await self._index_all()
        return await self._database.read(operation)

    async def best_matches(
        self,
        user: User,
        matching: RunFilter,
        *,
        limit: int,
        length: int | None = None,
    ) -> Sequence[Beginning]:
        """Return the runs that match a search best, the best first, as `beginnings`."""
        search = matching.search
        assert search is not None

        form = _beginnings(length)
        others = replace(matching, search=None)

        def read(connection: Connection, best: Sequence[str]) -> Sequence[Beginning]:
            query = select(*form.columns).where(
                runs.c.user_id == user.id, runs.c.id.in_(best)
            )
            rows = connection.execute(query, form.values)
            by_id = {row.id: form.read(row) for row in rows}
            return [by_id[each] for each in best if each in by_id]

        def operation(connection: Connection) -> Sequence[Beginning]:
            dialect = connection.dialect.name
            # Of most matches, only the rank is needed.
            for most in (limit, MORE * limit) if others == EVERYTHING else ():
                ranked = found(search, user, dialect, most=most)
                query = select(ranked.c.id).order_by(ranked.c.rank, ranked.c.id.desc())
                best = connection.scalars(query).all()
                first = read(connection, best)[:limit]
                if len(first) == limit or len(best) < most:
                    return first
            ranked = found(search, user, dialect)
            # Ids only: to sort whole rows would sort megabytes.
            query = (
                select(runs.c.id)
                .join(ranked, ranked.c.id == runs.c.id)
                .where(*others.conditions(user, dialect))
                .order_by(ranked.c.rank, runs.c.id.desc())
                .limit(limit)
            )
            return read(connection, connection.scalars(query).all())

        await self._index_all()
        return await self._database.read(operation)


def _beginnings(length: int | None) -> Form[Beginning]:
    def length_of(found: Beginning) -> int:
        return _length(found.run)

    if length is None:
        return Form(READ, lambda row: Beginning(to_run(row)), length_of, {})
    return Form(COLUMNS, to_beginning, length_of, {"length": length})
