"""The port between storage's methods and the databases."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from llamakeep.storage.database.commits import Commits
from llamakeep.storage.database.trouble import Trouble

T = TypeVar("T")
Operation = Callable[[Connection], T]
"""
The statements of one transaction.

It may be run again from its start when the transaction is retried, so it must have no
other side effects.
"""

CHANNEL = "llamakeep_nodes"
"""Where sessions are told that a node is dead."""


class Session(Protocol):
    """A session that the database ends together with this process."""

    number: int
    """Of the sessions that were opened, as each may be lost."""

    @property
    def is_held(self) -> bool:
        """Whether the database has it now."""
        ...

    async def hold(self) -> None:
        """
        Open it, if it is not or was lost.

        Raises:
            StorageUnavailable: That is not possible now.
        """
        ...

    async def close(self) -> None:
        """Close it for good."""
        ...


class Database(Protocol):
    """Runs operations, each in a transaction."""

    trouble: Trouble
    """The state of the database's failures."""

    is_sole_owner: bool
    """Whether no other process can work on this database's runs."""

    @property
    def commits(self) -> Commits:
        """The write transactions of this process."""
        ...

    @property
    def accounts_version(self) -> int | None:
        """
        A number that changes when users or their credentials do.

        While it is `None`, nothing about them may be cached.
        """
        ...

    async def watch_accounts(self) -> None:
        """Begin to count changes of accounts, after the tables are created."""
        ...

    async def write(self, operation: Operation[T]) -> T:
        """
        Run `operation` and return its result once it is durable.

        Raises:
            OutcomeUnknown: It is not known whether the commit succeeded.
            StorageUnavailable: The commit failed; nothing was changed.
        """
        ...

    async def read(self, operation: Operation[T]) -> T:
        """Run a reading `operation` on a consistent snapshot."""
        ...

    async def look_up(self, operation: Operation[T]) -> T:
        """Run an `operation` that reads a row or two by their key."""
        ...

    async def open_session(
        self, node: str, *, told: Callable[[], None], lost: Callable[[], None]
    ) -> Session | None:
        """Return a session for a node, which is not held yet; `None` if none can be."""
        ...

    async def checkpoint(self) -> None:
        """Checkpoint the write-ahead log now, so that no later commit has to."""
        ...

    async def erase_traces(self) -> None:
        """Overwrite deleted text in the database's files, where the database can."""
        ...

    def erase_traces_soon(self) -> None:
        """Do so within seconds, once for all deletions until then."""
        ...

    async def close(self) -> None:
        """Finish pending writes and close the database."""
        ...
