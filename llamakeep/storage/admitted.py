"""Whom secrets let in, remembered for as long as nothing about accounts changes."""

from datetime import datetime

from llamakeep.domain import User, utc_now
from llamakeep.storage.database import Database

MOST = 10_000
"""How many secrets are remembered; beyond that, all are forgotten."""


class Admitted:
    """
    Spares requests a query, where it is known when the answer would be another one.

    Args:
        database: Says when accounts change; if it cannot, nothing is remembered.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._users: dict[bytes, tuple[User, datetime | None]] = {}

    @property
    def version(self) -> int | None:
        """What `remember` wants to know from before the query."""
        return self._database.accounts_version

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

    def remember(
        self,
        version: int | None,
        digest: bytes,
        user: User,
        expires_at: datetime | None,
    ) -> None:
        """
        Remember what a query found.

        Args:
            version: That of before the query.
            digest: What was looked for.
            user: Whom it lets in.
            expires_at: Until when.
        """
        if version != self._version or len(self._users) >= MOST:
            self._users.clear()
            self._version = version
        if version is not None:
            self._users[digest] = user, expires_at
