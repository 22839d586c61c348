"""A cache of credentials, kept for as long as no account changes."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from llamakeep.domain import User, utc_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.prepared import Prepared

Read = Callable[[Sequence[Any]], tuple[User, datetime | None]]

MOST = 10_000
"""How many secrets are remembered; beyond that, all are forgotten."""


class CredentialCache:
    """
    Spares requests a query, where it is known when the answer would be another one.

    Args:
        database: Says when accounts change; if it cannot, nothing is remembered.
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
        Return whom a secret lets in now, with a query if that is not known.

        Args:
            digest: What is looked for.
            statement: Finds it by `digest`, as long as it is valid at `now`.
            read: Makes of a row whom it lets in, and until when.
        """
        if (user := self.find(digest)) is not None:
            return user
        values = {"digest": digest, "now": utc_now()}
        # From before the query: what changes meanwhile makes it another one.
        version = self._database.accounts_version
        rows = await self._database.look_up(lambda one: statement.fetch(one, values))
        if not rows:
            return None
        found = read(rows[0])
        if version != self._version or len(self._users) >= MOST:
            self._users.clear()
            self._version = version
        if version is not None:
            self._users[digest] = found
        return found[0]

    def is_noted(self, key_id: str, now: datetime, *, within: timedelta) -> bool:
        """
        Return whether the use of a key was noted just now; if not, it is from now on.

        What is remembered of a key does not change with its use.
        """
        if (noted := self._used.get(key_id)) and timedelta(0) <= now - noted < within:
            return True
        if len(self._used) >= MOST:
            self._used.clear()
        self._used[key_id] = now
        return False

    def find(self, digest: bytes) -> User | None:
        """
        Return whom a secret lets in now, if that is known without a query.

        Args:
            digest: All of it: others' secrets may begin alike.
        """
        if self._version is None or self._version != self._database.accounts_version:
            return None
        user, expires_at = self._users.get(digest, (None, None))
        if expires_at is not None and expires_at <= utc_now():
            return None
        return user
