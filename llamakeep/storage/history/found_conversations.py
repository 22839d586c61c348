"""
Conversations that a search finds: by a chosen title, or by a run.

A title that nobody chose is the beginning of a prompt, and found as that.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from llamakeep.domain import User
from llamakeep.domain.embeddings import ALONE
from llamakeep.storage.database.tables import conversation_titles, runs
from llamakeep.storage.history.conversations import Conversation, conversations_at
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.listing import Form, HistoryStorage
from llamakeep.storage.history.newest_found import Place
from llamakeep.storage.history.search import Search, Term
from llamakeep.storage.history.words import words_of

STEP = 200
"""Runs that are looked for at a time."""
LONGEST_SEARCH = 2000
"""Runs found for one page, however few conversations they belong to."""


def _place(row: Row[Any]) -> tuple[str, str]:
    return row.id, row.conversation_id


_PLACES = Form((runs.c.id, runs.c.conversation_id), _place, lambda _: 0, {})
# A conversation is as new as its first run: their ids sort alike.
_TITLES = (
    select(conversation_titles.c.conversation_id, conversation_titles.c.title)
    .where(conversation_titles.c.user_id == bindparam("user_id"))
    .order_by(conversation_titles.c.conversation_id.desc())
)
_NEWEST = (
    select(func.max(runs.c.id))
    .where(runs.c.conversation_id.in_(bindparam("conversation_ids", expanding=True)))
    .group_by(runs.c.conversation_id)
)


class FoundConversationStorage(HistoryStorage):
    """Searches for conversations."""

    async def find_conversations(
        self, user: User, search: Search, *, limit: int
    ) -> Sequence[Conversation]:
        """
        Return at most `limit` conversations, the most recently active first.

        They are those with the newest titles and runs that have all terms, of the
        newest `LONGEST_SEARCH` such runs.
        """
        matching = RunFilter(search=search)
        found: dict[str, None] = {}
        before, walked = None, 0
        while len(found) < limit and walked < LONGEST_SEARCH:
            place = Place(None, before, oldest_first=False)
            rows = await self._listed(
                user, _PLACES, place, matching, limit=STEP, much=None
            )
            walked += len(rows)
            for run_id, conversation_id in rows:
                before = run_id
                if not conversation_id.startswith(ALONE):
                    found[conversation_id] = None
            if len(rows) < STEP:
                break

        def operation(connection: Connection) -> Sequence[Conversation]:
            titled = _titled(connection, user, search, limit)
            ids = [*dict.fromkeys([*titled, *list(found)[:limit]])]
            newest = connection.scalars(_NEWEST, {"conversation_ids": ids}).all()
            return conversations_at(connection, sorted(newest, reverse=True)[:limit])

        return await self._database.read(operation)


def _titled(
    connection: Connection, user: User, search: Search, limit: int
) -> Sequence[str]:
    """Return the newest conversations whose chosen title has all terms."""
    found: list[str] = []
    with connection.execute(_TITLES, {"user_id": user.id}) as rows:
        for conversation_id, title in rows:
            words = words_of(title)
            if all(_is_in(term, words) for term in search.terms):
                found.append(conversation_id)
                if len(found) == limit:
                    break
    return found


def _is_in(term: Term, words: Sequence[str]) -> bool:
    """Return whether a term is among words, next to each other if it is a phrase."""
    *first, last = term.words
    for start in range(len(words) - len(first)):
        end = start + len(first)
        is_last = words[end].startswith(last) if term.is_prefix else words[end] == last
        if is_last and list(words[start:end]) == first:
            return True
    return False
