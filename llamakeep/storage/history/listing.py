"""Lists of a user's runs, newest first."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from llamakeep.domain import Run, User
from llamakeep.domain.runs import whole_length_of
from llamakeep.storage.database.tables import runs
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
        search = matching.search
        others = replace(matching, search=None)
        place = Place(after, before, oldest_first=oldest_first)

        def operation(connection: Connection) -> Sequence[Run]:
            dialect = connection.dialect.name
            query = select(*(READ if longest is None else WITHOUT_LONG))
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
            order = runs.c.id if oldest_first else runs.c.id.desc()
            query = query.where(*place.conditions()).order_by(order).limit(limit)
            to_item = to_run if longest is None else to_run_without_long
            values = {} if longest is None else {"longest": longest}
            if not is_page:
                return [to_item(row) for row in connection.execute(query, values)]
            page: list[Run] = []
            length = 0
            if dialect == "postgresql":
                # Spares reading rows that are not on the page.
                query = query.execution_options(stream_results=True)
            with connection.execute(query, values) as rows:
                for row in rows:
                    page.append(to_item(row))
                    length += whole_length_of(page[-1:])
                    if length >= much:
                        break
            return page

        if search is not None:
            await self._index_all()
        return await self._database.read(operation)

    async def best_matches(
        self, user: User, matching: RunFilter, *, limit: int
    ) -> Sequence[Run]:
        """Return the runs that match a search best, the best first."""
        search = matching.search
        assert search is not None

        others = replace(matching, search=None)

        def read(connection: Connection, best: Sequence[str]) -> Sequence[Run]:
            query = select(*READ).where(runs.c.user_id == user.id, runs.c.id.in_(best))
            by_id = {row.id: to_run(row) for row in connection.execute(query)}
            return [by_id[each] for each in best if each in by_id]

        def operation(connection: Connection) -> Sequence[Run]:
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
