"""
Full-text search: what a user types, in the words of SQLite's FTS5 and of PostgreSQL.

Only finished runs are indexed, by the beginning of their prompt and of their response:
see the migration that makes the index.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import (
    CTE,
    Connection,
    Float,
    String,
    Subquery,
    TextClause,
    column,
    text,
)

from llamakeep.domain import User
from llamakeep.errors import FieldError, InvalidRequest
from llamakeep.storage.database.port import Database
from llamakeep.storage.history.words import SEARCHED, marked, words_of

PHRASE, IN_PHRASES = 16, 24
"""
Words of a phrase that have to be next to each other, and of all phrases together.

Each costs as much as the word is frequent, in every text that may have the phrase. The
other words of a phrase have to be there, wherever that is.
"""

_TERM = re.compile(r'"([^"]*)"?(\*?)|([^\s"]+)')


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or several that have to be next to each other."""

    words: tuple[str, ...]
    is_prefix: bool
    """Whether the last word may be the beginning of a longer one."""


@dataclass(frozen=True, slots=True)
class Search:
    """Terms that all have to be in a run, in its prompt or in its response."""

    terms: tuple[Term, ...]
    frequent: tuple[Term, ...] = ()
    """Those that most runs have: they are asked of what the others find."""

    @classmethod
    def of(cls, text: str) -> Self:
        """
        Read what a user typed: words, `"phrases"`, and beginnings of words (`begin*`).

        Nothing else has a meaning. What has neither letters nor digits is left out.
        """
        terms: list[Term] = []
        left = IN_PHRASES
        for phrase, star, word in _TERM.findall(text):
            words = tuple(words_of(phrase or word))
            together = min(len(words), PHRASE, max(left, 1))
            left -= together if together > 1 else 0
            parts = [words[:together], *((each,) for each in words[together:])]
            ends = bool(star) or word.endswith("*")
            if words:
                terms += [Term(part, ends and part is parts[-1]) for part in parts]
        return cls(tuple(dict.fromkeys(terms)))  # to be found twice means nothing

    def on_sqlite(self, user: User) -> str:
        """Return the terms as FTS5 wants them; a word in quotes is only a word."""
        return " AND ".join(
            f'"{marked(user.id, term.words)}"{"*" * term.is_prefix}'
            for term in self.terms
        )

    def like_owner(self, user: User) -> Sequence[Term]:
        """
        Return the terms that PostgreSQL would find in each run of `user`.

        The user's id is among the words there, and begins with these.
        """
        return [
            term
            for term in self.terms
            if term.is_prefix and user.id.startswith(term.words[-1])
        ]

    @property
    def on_postgresql(self) -> str:
        """The terms as PostgreSQL's `tsquery`."""
        return _on_postgresql(self.terms)


def _on_postgresql(terms: Iterable[Term]) -> str:
    return " & ".join(map(_phrase, terms))


def _phrase(term: Term) -> str:
    # No quote is left in its words.
    words = " <-> ".join([f"'{word}'" for word in term.words])
    return f"({words}{':*' * term.is_prefix})"


def read_search(text: str) -> Search:
    """
    Return what `text` asks for.

    Raises:
        InvalidRequest: There is nothing in it to look for.
    """
    search = Search.of(text)
    if not search.terms:
        message = "It has neither letters nor digits: there is nothing to look for."
        raise InvalidRequest(errors=[FieldError("query.q", message)])
    return search


def found(
    search: Search, user: User, dialect: str, *, most: int | None = None
) -> Subquery | CTE:
    """
    Return the `id` and the `rank` of the runs of `user` that `search` finds.

    On SQLite there may be some of another user among them: see `storage/words.py`.

    Args:
        search: What is looked for.
        user: In whose runs.
        dialect: The database's.
        most: Only so many, the best; `None` for all.
    """
    if dialect == "sqlite":
        statement, values = _FOUND_ON_SQLITE, {"terms": search.on_sqlite(user)}
    else:
        statement, values = _find_on_postgresql(search, user)
    query = text(statement).bindparams(**values)
    if most is not None:
        best = _BEST[dialect].format(statement)
        query = text(best).bindparams(**values, most=most)
    rows = query.columns(column("id", String), column("rank", Float))
    if dialect == "postgresql":
        # Otherwise it may take a search for one that finds much, having seen a few, and
        # ask of each of the user's runs whether it is found.
        return rows.cte("found").prefix_with("MATERIALIZED")
    return rows.subquery()


def _find_on_postgresql(search: Search, user: User) -> tuple[str, dict[str, str]]:
    """Return PostgreSQL's statement, and its parameters."""
    like_owner = search.like_owner(user)
    sifted = [term for term in search.terms if term in (*search.frequent, *like_owner)]
    wanted = [term for term in search.terms if term not in sifted]
    ranked = [term for term in search.terms if term not in search.frequent]
    values = {
        "wanted": " & ".join([f"'{user.id}'", *map(_phrase, wanted)]),
        "terms": _on_postgresql(ranked),
    }
    words = "ts_delete(search_words, user_id)" if like_owner else "search_words"
    if not sifted:
        return _FOUND_ON_POSTGRESQL.format(words), values
    values["sifted"] = _on_postgresql(sifted)
    return (_FOUND_ON_POSTGRESQL + _SIFTED).format(words), values


def is_frequent(connection: Connection, search: Search, user: User) -> bool:
    """Return whether it is better to look at the newest runs than at all it finds."""
    if connection.dialect.name != "sqlite":
        return False
    values = {"terms": search.on_sqlite(user), "many": FREQUENT}
    return bool(connection.scalar(_COUNT, values) == FREQUENT)


def is_found(search: Search, user: User) -> TextClause:
    """Return whether SQLite finds a run, asked of one run after the other."""
    return text(_IS_FOUND).bindparams(terms=search.on_sqlite(user))


FREQUENT = 1000
"""So many runs are found that a page of the newest is among the next few thousand."""
_COUNT = text(
    """
    SELECT count(*) FROM (
        SELECT 1 FROM search_words WHERE search_words MATCH :terms LIMIT :many
    )
    """
)
_IS_FOUND = """
    (SELECT number FROM search_runs WHERE run_id = runs.id)
    IN (SELECT rowid FROM search_words WHERE search_words MATCH :terms)
"""
_FOUND_ON_SQLITE = """
    SELECT run_id AS id, bm25(search_words) AS rank
    FROM search_words JOIN search_runs ON number = search_words.rowid
    WHERE search_words MATCH :terms
"""
_FOUND_ON_POSTGRESQL = """
    SELECT id, -ts_rank({0}, terms) AS rank
    FROM runs, CAST(CAST(:terms AS text) AS tsquery) AS terms
    WHERE search_words @@ CAST(CAST(:wanted AS text) AS tsquery)
"""
# As a condition that no index knows: with them it would read the runs of all users.
_SIFTED = "AND ({0} @@ CAST(CAST(:sifted AS text) AS tsquery)) IS TRUE"
_BEST = {
    # SQLite would work out twice how bad each run is if it had to return that, too.
    "sqlite": """
        SELECT run_id AS id, place AS rank FROM (
            SELECT number, row_number() OVER () AS place FROM (
                SELECT rowid AS number FROM search_words
                WHERE search_words MATCH :terms
                ORDER BY bm25(search_words), rowid DESC LIMIT :most
            )
        ) JOIN search_runs USING (number)
    """,
    "postgresql": "{0} ORDER BY rank LIMIT :most",
}

_INDEX = text(
    """
    INSERT INTO search_words (rowid, prompt, response)
    SELECT number, own_words(coalesce(user_id, ''), coalesce(prompt, '')),
    own_words(coalesce(user_id, ''), coalesce(response, ''), output)
    FROM (
        SELECT number, run_id FROM search_runs
        WHERE number > coalesce(
            (SELECT rowid FROM search_words ORDER BY rowid DESC LIMIT 1), 0
        )
        AND number <= :last
    ) LEFT JOIN runs ON id = run_id ORDER BY number
    """
)
_NEXT = text(
    f"""
    SELECT number, min(length(coalesce(prompt, '')), {SEARCHED})
    + min(length(coalesce(response, '')) + coalesce(length(output), 0), {SEARCHED})
    AS size
    FROM (
        SELECT number, run_id FROM search_runs
        WHERE number > coalesce(
            (SELECT rowid FROM search_words ORDER BY rowid DESC LIMIT 1), 0
        )
        ORDER BY number LIMIT :limit
    ) LEFT JOIN runs ON id = run_id ORDER BY number
    """  # noqa: S608 - only a number of ours
)
_HAS_MORE = text(
    """
    SELECT coalesce((SELECT number FROM search_runs ORDER BY number DESC LIMIT 1), 0)
    > coalesce((SELECT rowid FROM search_words ORDER BY rowid DESC LIMIT 1), 0)
    """
)
INDEXED_AT_ONCE, MUCH = 100, 200_000
"""
Runs, or as many as have so many characters to index.

That takes about 20 ms, and 80 at worst, in which nothing else is written.
"""


class SearchStorage:
    """Keeps the index; searching is reading the history."""

    _database: Database

    async def index_finished(self) -> bool:
        """
        Let some more of the finished runs be found.

        On PostgreSQL, the transaction that finishes a run does that. On SQLite it would
        double its time, so that it is done here.

        Returns:
            Whether there are more.
        """
        if not await self._database.read(has_more):
            return False

        def operation(connection: Connection) -> bool:
            size, last = 0, None
            with connection.execute(_NEXT, {"limit": INDEXED_AT_ONCE}) as rows:
                for row in rows:
                    size += row.size
                    if last is None or size <= MUCH:
                        last = row.number
            connection.execute(_INDEX, {"last": last})
            return has_more(connection)

        return await self._database.write(operation)

    async def _index_all(self) -> None:
        while await self.index_finished():
            pass


def has_more(connection: Connection) -> bool:
    """Return whether there are finished runs that are still to be indexed."""
    return connection.dialect.name == "sqlite" and bool(connection.scalar(_HAS_MORE))
