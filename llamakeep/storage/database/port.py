"""The port between storage methods and the two databases they run on."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from llamakeep.storage.database.trouble import Trouble

T = TypeVar("T")
Operation = Callable[[Connection], T]
"""
Statements that make one transaction.

It may be run again from its start when the transaction has to be repeated, so it
changes nothing but the database.
"""


class Database(Protocol):
    """Runs operations, each as one transaction."""

    trouble: Trouble
    """Since when it cannot be used, if it cannot."""

    is_sole_owner: bool
    """Whether no other process can be working on this database's runs."""

    @property
    def accounts_version(self) -> int | None:
        """
        What is another one as soon as users, or what lets them in, were changed.

        It is `None` while that cannot be told: nothing may be remembered then.
        """
        ...

    async def watch_accounts(self) -> None:
        """Begin to notice such changes, now that the tables are there."""
        ...

    async def write(self, operation: Operation[T]) -> T:
        """
        Run `operation` and return its result once it is durable.

        Raises:
            OutcomeUnknown: It is not known whether it was made durable.
            StorageUnavailable: It could not be made durable; nothing was changed.
        """
        ...

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation`, which only reads, on a consistent state."""
        ...

    async def look_up(self, operation: Operation[T]) -> T:
        """Run `operation`, which reads a row or two by their key."""
        ...

    async def checkpoint(self) -> None:
        """Do now, beside others, what one of the next commits would have to do."""
        ...

    async def erase_traces(self) -> None:
        """Take what was deleted out of the files, as far as that is in our hands."""
        ...

    def erase_traces_soon(self) -> None:
        """Do so within seconds, once for all that is deleted until then."""
        ...

    async def close(self) -> None:
        """Finish what was begun, and let go of the database."""
        ...
