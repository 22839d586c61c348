"""Find out which other nodes on a shared database are dead."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from llamakeep.repeated import Repeated
from llamakeep.storage import Storage
from llamakeep.storage.database.port import Session
from llamakeep.storage.runs.nodes import Node

EVERY = 1.0
"""Seconds between two looks at all nodes, or two attempts to hold a session."""

GRACE = 1.0
"""Seconds after which a node whose session is gone is dead; it may open another one."""

LAST_LOOK = 0.3
"""Seconds after which a node whose lease is over is dead; it may just renew it."""

log = logging.getLogger(__name__)


class NodeWatch:
    """
    Looks at all nodes, and holds a session by which the others see this one's end.

    A node is silent when its lease is over, or when it had a session and has none any
    more; it is dead when it stays so and does not renew its lease meanwhile. A
    node that lost its session, but lives, renews its lease at once.

    Args:
        storage: Where nodes are.
        node: This node.
        renew: Has this node's lease renewed soon.
        take_over: Has runs looked for that were left.
    """

    def __init__(
        self,
        storage: Storage,
        node: str,
        *,
        renew: Callable[[], None],
        take_over: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._node = node
        self._renew = renew
        self._left = take_over
        self._session: Session | None = None
        self._may_have_session = True
        self._living: Mapping[str, Node] = {}
        """What the last look found."""
        self._with_session: set[str] = set()
        """Nodes whose session was seen by this one's, since that was opened."""
        self._seen_by = 0
        """The number of that session."""
        self._silent: dict[str, tuple[Node, float]] = {}
        """Nodes without a sign of life, and since when."""
        self._holding = Repeated("holding a session", self._hold, every=EVERY)
        self._looking = Repeated("looking for dead nodes", self._look, every=EVERY)

    async def open(self) -> None:
        """Begin."""
        await self._holding.once()
        self._holding.open()
        self._looking.open()

    async def close(self) -> None:
        """Stop, and end the session."""
        await self._looking.close()
        await self._holding.close()
        if self._session is not None:
            await self._session.close()

    async def _hold(self) -> None:
        if self._session is None and self._may_have_session:
            self._session = await self._storage.open_session(
                self._node, told=self._left, lost=self._lost
            )
            self._may_have_session = self._session is not None
        if self._session is not None and not self._session.is_held:
            if self._session.number:
                self._renew()  # until it is back, the lease says that this one lives
            await self._session.hold()

    def _lost(self) -> None:
        log.warning("the session with PostgreSQL is lost; another one is opened")
        self._holding.wake()

    async def _look(self) -> None:
        before = self._living
        self._living = living = {each.id: each for each in await self._storage.nodes()}
        if before.keys() - living.keys():
            self._left()
        own = living.get(self._node)
        if own is None or own.is_expired:
            self._silent.clear()  # it was this one that was silent
            self._renew()
            return
        dead = self._dead(own)
        if self._silent:
            graces = [self._grace_of(each) for each, _ in self._silent.values()]
            asyncio.get_running_loop().call_later(min(graces), self._looking.wake)
        if dead:
            names = ", ".join(each.id for each in dead)
            log.warning("%s gave no sign of life; others take its runs over", names)
            await self._storage.declare_dead(dead)
            self._left()

    def _dead(self, own: Node) -> list[Node]:
        """Return the nodes that were silent for long enough."""
        session, now = self._session, asyncio.get_running_loop().time()
        # After a failover, or a restart of PostgreSQL, no node has a session yet.
        sees_sessions = session is not None and session.is_held and own.has_session
        if session is not None and session.number != self._seen_by:
            self._seen_by = session.number
            self._with_session.clear()
        silent: dict[str, tuple[Node, float]] = {}
        for each in self._living.values():
            if sees_sessions and each.has_session:
                self._with_session.add(each.id)
            is_gone = (
                sees_sessions and not each.has_session and each.id in self._with_session
            )
            if each is not own and (is_gone or each.is_expired):
                known, since = self._silent.get(each.id, (each, now))
                is_new = known.lease_until != each.lease_until
                silent[each.id] = each, now if is_new else since
        self._silent = silent
        self._with_session &= self._living.keys()
        return [
            each for each, at in silent.values() if now - at >= self._grace_of(each)
        ]

    @staticmethod
    def _grace_of(node: Node) -> float:
        return LAST_LOOK if node.is_expired else GRACE
