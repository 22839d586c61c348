"""
What PostgreSQL indexes of a run: its words, sent with the statement that finishes it.

SQLite's runs are indexed later: see `search.py`.
"""

import asyncio

from sqlalchemy import Column, MetaData, Text, bindparam, func, insert
from sqlalchemy.types import NullType

from llamakeep.domain import Run
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.words import lexemes
from llamakeep.storage.runs.parts import stored

AT_ONCE = 10_000
"""Characters whose words are made on the event loop, in up to 4 ms."""

indexed_runs = runs.to_metadata(MetaData())
"""`runs`, with the column that only PostgreSQL has."""
indexed_runs.append_column(Column("search_words", NullType))

WORDS = func.words_to_index(bindparam("words", type_=Text()))
"""The column's value, of the parameter `words`; it never raises an error."""

INSERT_INDEXED = insert(indexed_runs).values(search_words=WORDS)


async def words_to_index(run: Run) -> str | None:
    """Return the words of a finished run; `None` for any other."""
    if not run.status.is_final:
        return None
    texts = run.prompt, run.response, stored(run.output) if run.output else None
    size = len(run.prompt) + len(run.response)
    size += sum([len(item.text) for item in run.output])
    if size <= AT_ONCE:
        return lexemes(run.user_id, *texts)
    return await asyncio.to_thread(lexemes, run.user_id, *texts)
