"""What changed of one user's runs lately, for those who listen."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage
from llamakeep.storage.runs.changed import ChangedRun

MOST = 128
"""Runs whose last change is remembered, for readers that are slow or come back."""

GATHERING = 0.05
"""Seconds between two reads of what changed: changes until then are read together."""

RETRY = 1.0
"""Seconds until what could not be read is tried again."""

Relay = Callable[[str | None], None]
"""Is told the id of a run that changed; `None` if there are more than are known."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """The last change of a run."""

    number: int
    """Of all changes in the feed."""
    run_id: str
    run: ChangedRun | None
    """As it is stored; `None` if it was deleted."""


class News(NamedTuple):
    """What a listener has not taken yet."""

    is_complete: bool
    """Whether these are all changes since the last time."""
    changes: Sequence[Change]


class Feed:
    """
    The last change of each run of a user that changed while somebody listened.

    A run is read from storage after it changed, once for all listeners. Of several
    changes only the last one counts, so that a slow listener needs no more memory.
    """

    def __init__(self, storage: Storage, user_id: str) -> None:
        self.user_id = user_id
        self.name = secrets.token_hex(6)
        """Part of the cursors, which another feed does not know."""
        self.number = 0
        """Of the last change."""
        self.listeners: set[Listener] = set()
        self.relays: set[Relay] = set()
        """What tells other nodes of changes that are made here."""
        self.is_read = False
        """Whether there was a listener: else nothing is read."""
        self.is_closed = False
        self._storage = storage
        self._changes: dict[str, Change] = {}
        """By run; the last one that changed comes last."""
        self._forgotten = 0
        """The number of the last change that is not remembered any more."""
        self._due: dict[str, None] = {}
        """Runs that changed and are to be read."""
        self._reading: asyncio.Task[None] | None = None

    def changed(self, run_id: str) -> None:
        """Tell that a run began, changed its status or ended, which is stored."""
        for relay in self.relays:
            relay(run_id)
        self.look_at(run_id)

    def look_at(self, run_id: str) -> None:
        """Read a run that changed here, or at another node."""
        if self.is_closed or not self.is_read:
            return
        self._due[run_id] = None
        if len(self._due) > MOST:
            self.lose_elsewhere()
        elif self._reading is None:
            self._reading = asyncio.create_task(self._read())

    def lose(self) -> None:
        """Tell that more has changed here than is known."""
        for relay in self.relays:
            relay(None)
        self.lose_elsewhere()

    def lose_elsewhere(self) -> None:
        """Tell listeners that more has changed than is known."""
        self._due.clear()
        self._changes.clear()
        self.number += 1
        self._forgotten = self.number
        self._wake()

    def remembers(self, number: int) -> bool:
        """Return whether all changes after this one are known."""
        return self._forgotten <= number <= self.number

    def since(self, number: int) -> Sequence[Change]:
        """Return the changes after this one, oldest first."""
        found = []
        for change in reversed(self._changes.values()):
            if change.number <= number:
                break
            found.append(change)
        return found[::-1]

    def close(self) -> Collection[asyncio.Task[None]]:
        """
        Tell nothing more; listeners see that in `is_closed`.

        Returns:
            What was canceled, and has to end before the database is closed.
        """
        self.is_closed = True
        self._wake()
        if self._reading is None:
            return ()
        self._reading.cancel()
        return (self._reading,)

    async def _read(self) -> None:
        try:
            while self._due:
                due, self._due = self._due, {}
                try:
                    found = await self._storage.changed_runs(self.user_id, due)
                except StorageUnavailable:
                    self._due = due | self._due
                    await asyncio.sleep(RETRY)
                    continue
                for run_id in due:
                    self._take(run_id, found.get(run_id))
                self._wake()
                await asyncio.sleep(GATHERING)
        except Exception:
            log.exception("reading what changed fails by a bug")
            self.lose_elsewhere()
        finally:
            self._reading = None

    def _take(self, run_id: str, run: ChangedRun | None) -> None:
        known = self._changes.get(run_id)
        if known is not None and known.run == run:
            return  # another look at what was told
        self._changes.pop(run_id, None)
        self.number += 1
        self._changes[run_id] = Change(self.number, run_id, run)
        if len(self._changes) > MOST:
            oldest = next(iter(self._changes))
            self._forgotten = self._changes.pop(oldest).number

    def _wake(self) -> None:
        for listener in self.listeners:
            listener.wake()


class Listener:
    """One reader of a feed, and how far it is."""

    def __init__(self, feed: Feed, wake: Callable[[], None], cursor: str) -> None:
        """Begin behind `cursor` if that is known, else with what changes from now."""
        self.feed = feed
        self.wake = wake
        name, _, number = cursor.partition("-")
        is_known = name == feed.name and number.isascii() and number.isdecimal()
        self.has_resumed = is_known and feed.remembers(int(number))
        self.number = int(number) if self.has_resumed else feed.number
        feed.listeners.add(self)
        feed.is_read = True

    @property
    def cursor(self) -> str:
        """Where a reader comes back to that has what was taken so far."""
        return self.cursor_of(self.number)

    def cursor_of(self, number: int) -> str:
        """Return where a reader comes back to that has this change."""
        return f"{self.feed.name}-{number}"

    @property
    def is_complete(self) -> bool:
        """Whether all changes since the last time are remembered."""
        return self.feed.remembers(self.number)

    def take(self) -> News:
        """Return what changed since the last time."""
        feed, is_complete = self.feed, self.is_complete
        changes = feed.since(self.number) if is_complete else ()
        self.number = feed.number
        return News(is_complete, changes)
