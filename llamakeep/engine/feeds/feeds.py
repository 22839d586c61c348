"""The feeds of those users whose runs somebody in this process listens to."""

import asyncio
from collections.abc import Callable, Collection, Mapping, MutableMapping

from llamakeep.engine.feeds.elsewhere import Elsewhere
from llamakeep.engine.feeds.feed import Feed, Listener, Relay
from llamakeep.engine.live import LiveRun
from llamakeep.engine.refusals import stopped
from llamakeep.storage import Storage

LINGERING = 30.0
"""Seconds for which a feed without listeners waits for one that comes back."""


class Feeds:
    """
    Opens a feed with a user's first listener, and closes it after the last.

    Args:
        storage: Where runs are read.
        by_user: The open feeds, which the runner looks at when it begins a run.
        live: The runs that this process works on.
        elsewhere: Finds what other processes change, if there may be any.
    """

    def __init__(
        self,
        storage: Storage,
        by_user: MutableMapping[str, Feed],
        live: Mapping[str, LiveRun],
        elsewhere: Elsewhere | None,
    ) -> None:
        self._storage = storage
        self._by_user = by_user
        self._live = live
        self.elsewhere = elsewhere
        self._is_closed = False
        self._closing: dict[str, asyncio.TimerHandle] = {}
        """By user: when a feed without listeners is closed."""

    async def listen(
        self, user_id: str, wake: Callable[[], None], *, cursor: str = ""
    ) -> Listener:
        """
        Return a new listener: from now on, it gets every change of the user's runs.

        Args:
            user_id: The user.
            wake: Called when there is something to take.
            cursor: Where the reader was before, if it comes back.

        Raises:
            ServerStopping: The server has stopped.
            StorageUnavailable: It cannot be known what other processes change.
        """
        if self._is_closed:
            raise stopped()
        feed = self._by_user.get(user_id) or self._open(user_id)
        if (closing := self._closing.pop(user_id, None)) is not None:
            closing.cancel()
        listener = Listener(feed, wake, cursor)
        try:
            if self.elsewhere is not None:
                await self.elsewhere.watch(feed)
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def leave(self, listener: Listener) -> None:
        """End a listener; another time does nothing."""
        listener.feed.listeners.discard(listener)
        self._close_later(listener.feed)

    def relay(self, user_id: str, relay: Relay) -> None:
        """Tell `relay` of the changes of a user's runs that are made here."""
        if not self._is_closed:
            (self._by_user.get(user_id) or self._open(user_id)).relays.add(relay)

    def end_relay(self, user_id: str, relay: Relay) -> None:
        """Tell `relay` nothing more."""
        if (feed := self._by_user.get(user_id)) is not None:
            feed.relays.discard(relay)
            self._close_later(feed)

    def _close_later(self, feed: Feed) -> None:
        is_used = feed.listeners or feed.relays
        if is_used or feed.is_closed or feed.user_id in self._closing:
            return
        loop = asyncio.get_running_loop()
        self._closing[feed.user_id] = loop.call_later(LINGERING, self._end_unused, feed)

    def _end_unused(self, feed: Feed) -> None:
        self._closing.pop(feed.user_id, None)
        if not (feed.listeners or feed.relays):
            self._close(feed)

    def changed(self, user_id: str, *run_ids: str) -> None:
        """Tell that runs changed in another way than by being worked on."""
        if (feed := self._by_user.get(user_id)) is not None:
            for run_id in run_ids:
                feed.changed(run_id)

    def lose(self, user_id: str) -> None:
        """Tell that more of a user's runs changed than is told one by one."""
        if (feed := self._by_user.get(user_id)) is not None:
            feed.lose()

    async def close(self) -> None:
        """End all listeners."""
        self._is_closed = True
        for closing in self._closing.values():
            closing.cancel()
        ending = [
            task for feed in [*self._by_user.values()] for task in self._close(feed)
        ]
        if ending:
            await asyncio.wait(ending)
        if self.elsewhere is not None:
            await self.elsewhere.close()

    def _open(self, user_id: str) -> Feed:
        feed = self._by_user[user_id] = Feed(self._storage, user_id)
        for live in self._live.values():
            if live.run.user_id == user_id:
                live.feed = feed
        return feed

    def _close(self, feed: Feed) -> Collection[asyncio.Task[None]]:
        self._closing.pop(feed.user_id, None)
        del self._by_user[feed.user_id]
        if self.elsewhere is not None:
            self.elsewhere.leave(feed)
        return feed.close()
