"""
What other processes change of users' runs, found by looking at storage.

Where other nodes can be reached, they tell of their changes sooner; see
`llamakeep.nodes.changes`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from llamakeep.domain import utc_now
from llamakeep.engine.feeds.feed import Feed
from llamakeep.repeated import Repeated
from llamakeep.storage import Storage
from llamakeep.storage.runs.recent import MOST, RunState, States

EVERY = 0.5
"""Seconds between two looks, while somebody listens."""

OVERLAP = timedelta(seconds=60)
"""
How far back a look goes for runs that began and ended since the last one: the clocks of
servers differ, and ids sort by them.
"""


class Elsewhere(Protocol):
    """Finds what other processes change, and tells feeds of it."""

    async def watch(self, feed: Feed) -> None:
        """
        Tell `feed` of every change from now on; a feed that is watched stays so.

        Raises:
            StorageUnavailable: That cannot be promised.
        """
        ...

    def leave(self, feed: Feed) -> None:
        """Tell `feed` nothing more."""
        ...

    async def close(self) -> None:
        """Tell nothing more."""
        ...


class Polling:
    """Looks at the states of runs again and again, while there are feeds."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._feeds: dict[str, Feed] = {}
        self._known: dict[str, Mapping[str, RunState]] = {}
        """By user and run: what was found by the last look."""
        self._looked_at = utc_now()
        """When the last look that succeeded began."""
        self._looking = Repeated("looking for changed runs", self._look, every=EVERY)

    async def watch(self, feed: Feed) -> None:
        """
        Tell `feed` of every change from now on.

        Raises:
            StorageUnavailable: The states of its user's runs cannot be read.
        """
        user_id = feed.user_id
        if user_id in self._feeds:
            return
        now = utc_now()
        states = await self._storage.run_states([user_id], since=now - OVERLAP)
        if user_id in self._feeds or feed.is_closed:
            return  # another listener was faster
        if not self._feeds:
            self._looked_at = now
            self._looking.open()
        self._known[user_id] = states.of(user_id)
        self._feeds[user_id] = feed

    def leave(self, feed: Feed) -> None:
        """Tell `feed` nothing more."""
        if self._feeds.get(feed.user_id) is not feed:
            return
        del self._feeds[feed.user_id]
        del self._known[feed.user_id]
        if not self._feeds:
            self._looking.cancel()

    async def close(self) -> None:
        """Tell nothing more."""
        self._feeds.clear()
        self._known.clear()
        await self._looking.close()

    async def _look(self) -> None:
        now, watched = utc_now(), dict(self._feeds)
        since = min(now, self._looked_at) - OVERLAP
        states = await self._storage.run_states([*watched], since=since)
        self._looked_at = now
        for user_id, feed in watched.items():
            if self._feeds.get(user_id) is feed:
                self._compare(feed, states)

    def _compare(self, feed: Feed, states: States) -> None:
        before, after = self._known[feed.user_id], states.of(feed.user_id)
        self._known[feed.user_id] = after
        if len(after.keys() - before.keys()) >= MOST:
            feed.lose_elsewhere()  # others may have begun and ended since
            return
        for run_id, state in after.items():
            if before.get(run_id) != state:
                feed.look_at(run_id)
        for run_id, state in before.items():
            # It has ended a while after it began, or was deleted.
            is_gone = run_id not in after and not state.status.is_final
            if is_gone and states.has_all_unfinished:
                feed.look_at(run_id)
