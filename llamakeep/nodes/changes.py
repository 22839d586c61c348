"""
Changes of runs that nodes tell each other of, for those who listen at another one.

They come sooner than by looking at the database, which is done all the same: so a
change that is sent twice, or not at all, does no harm.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection
from typing import Any

from pydantic_core import from_json, to_json

from llamakeep.engine.feeds.elsewhere import Elsewhere
from llamakeep.engine.feeds.feed import Feed
from llamakeep.engine.feeds.feeds import Feeds
from llamakeep.errors import StorageUnavailable
from llamakeep.http.errors import HttpError
from llamakeep.nodes.peers import Peers, lines_in
from llamakeep.repeated import Repeated
from llamakeep.storage.runs.nodes import Contact

MOST_WAITING = 1024
"""Changes that wait for a node to read them; more are left for it to find."""

SIGN_OF_LIFE = 10.0
"""Seconds of silence after which an empty line is sent."""

LONGEST_LINE = 1024

EVERY = 2.0
"""Seconds between two looks which nodes there are, while there are listeners."""

log = logging.getLogger(__name__)


async def changes_of(
    feeds: Feeds, users: Collection[str]
) -> AsyncGenerator[bytes, None]:
    """Yield a line for each change that is made here of some users' runs."""
    waiting: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue(MOST_WAITING)

    def relay_of(user_id: str) -> Any:
        def relay(run_id: str | None) -> None:
            if not waiting.full():
                waiting.put_nowait((user_id, run_id))

        return relay

    relays = {user_id: relay_of(user_id) for user_id in users}
    for user_id, relay in relays.items():
        feeds.relay(user_id, relay)
    try:
        yield b"\n"  # from now on
        while True:
            try:
                async with asyncio.timeout(SIGN_OF_LIFE):
                    change = await waiting.get()
            except TimeoutError:
                yield b"\n"
            else:
                yield to_json(change) + b"\n"
    finally:
        for user_id, relay in relays.items():
            feeds.end_relay(user_id, relay)


class ToldChanges:
    """
    Has other nodes tell feeds of what they change, beside looking at the database.

    Args:
        looking: Looks at the database.
        peers: The other nodes.
    """

    def __init__(self, looking: Elsewhere, peers: Peers) -> None:
        self._looking = looking
        self._peers = peers
        self._feeds: dict[str, Feed] = {}
        self._asked: dict[str, tuple[frozenset[str], asyncio.Task[None]]] = {}
        """By node: of which users it is to tell, and what receives that."""
        self._asking = Repeated("asking nodes for changes", self._ask, every=EVERY)

    async def watch(self, feed: Feed) -> None:
        """
        Tell `feed` of every change from now on.

        Raises:
            StorageUnavailable: That cannot be promised.
        """
        await self._looking.watch(feed)
        if feed.is_closed or self._feeds.get(feed.user_id) is feed:
            return
        if not self._feeds:
            self._asking.open()
        self._feeds[feed.user_id] = feed
        self._asking.wake()

    def leave(self, feed: Feed) -> None:
        """Tell `feed` nothing more."""
        self._looking.leave(feed)
        if self._feeds.get(feed.user_id) is feed:
            del self._feeds[feed.user_id]
            if not self._feeds:
                self._asking.cancel()
                self._end(self._asked)

    async def close(self) -> None:
        """Tell nothing more."""
        self._feeds.clear()
        await self._asking.close()
        tasks = [task for _, task in self._asked.values()]
        self._end(self._asked)
        if tasks:
            await asyncio.wait(tasks)
        await self._looking.close()

    async def _ask(self) -> None:
        contacts = await self._peers.all()
        users = frozenset(self._feeds)
        self._end(self._asked.keys() - contacts.keys())
        for node, contact in contacts.items():
            known = self._asked.get(node)
            if (known is None or known[1].done()) and self._peers.is_resting(node):
                continue
            if known is None or known[1].done() or known[0] != users:
                self._end([node])
                task = asyncio.create_task(self._receive(contact, users))
                self._asked[node] = users, task

    def _end(self, nodes: Collection[str]) -> None:
        for node in [*nodes]:
            if (known := self._asked.pop(node, None)) is not None:
                known[1].cancel()

    async def _receive(self, contact: Contact, users: Collection[str]) -> None:
        body = to_json(sorted(users))
        try:
            asked = self._peers.ask(contact, "POST", "/changes", content=body)
            async with asked as response:
                async for line in lines_in(response, longest=LONGEST_LINE):
                    if line:
                        self._tell(*from_json(line))
        except (HttpError, StorageUnavailable) as error:
            log.info("%s does not tell its changes: %s", contact.node, error)
        except Exception:
            log.exception("being told changes by %s fails by a bug", contact.node)

    def _tell(self, user_id: str, run_id: str | None) -> None:
        if (feed := self._feeds.get(user_id)) is None:
            return
        if run_id is None:
            feed.lose_elsewhere()
        else:
            feed.look_at(run_id)
