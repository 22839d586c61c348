"""A cache of credentials, valid until any account changes."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from llamakeep.domain import User, utc_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.prepared import Fetch, Prepared

Read = Callable[[Sequence[Any]], tuple[User, datetime | None]]

MOST = 10_000
"""Cached credentials; beyond that, the cache is emptied."""


class CredentialCache:
    """
    Caches the users of access tokens and API keys, which spares a query.

    While the database has no epoch, nothing is cached.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._users: dict[bytes, tuple[User, datetime | None]] = {}
        self._used: dict[str, datetime] = {}

    async def look_up(
        self, digest: bytes, statement: Prepared, read: Read
    ) -> User | None:
        """
        Return the user of a credential, from the cache or with a query.

        A row is found by `digest` if it is valid at `now`; `read` returns its user and
        its expiry.
        """
        if (user := self.find(digest)) is not None:
            return user
        values = {"digest": digest, "now": utc_now()}
        # Read before the query, so that a change in between invalidates the entry.
        version = self._database.accounts_version
        rows = await self._database.look_up(Fetch(statement, values))
        if not rows:
            return None
        found = read(rows[0])
        if version != self._version or len(self._users) >= MOST:
            self._users.clear()
            self._version = version
        if version is not None:
            self._users[digest] = found
        return found[0]

    def is_noted(self, name: str, now: datetime, *, within: timedelta) -> bool:
        """
        Return whether a credential's use was noted within this time; if not, note it.

        Cached credentials stay valid: their last use is not among them.
        """
        if (noted := self._used.get(name)) and timedelta(0) <= now - noted < within:
            return True
        if len(self._used) >= MOST:
            self._used.clear()
        self._used[name] = now
        return False

    def find(self, digest: bytes) -> User | None:
        """Return the user of a credential, if it is cached and valid."""
        if self._version is None or self._version != self._database.accounts_version:
            return None
        user, expires_at = self._users.get(digest, (None, None))
        if expires_at is not None and expires_at <= utc_now():
            return None
        return user
