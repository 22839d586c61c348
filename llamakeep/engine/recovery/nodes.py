"""Find out which other nodes on a shared database are dead."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from llamakeep.errors import StorageUnavailable
from llamakeep.repeated import Repeated
from llamakeep.storage import Storage
from llamakeep.storage.database.port import Session
from llamakeep.storage.runs.nodes import Node

EVERY = 1.0
"""Seconds between two looks at all nodes, or two attempts to hold a session."""

GRACE = 1.0
"""Seconds after which a node whose session is gone is dead; it may open another one."""

SETTLING = 5.0
"""
Seconds for which this node has a session until it means something that another one has
none which it has not seen.

PostgreSQL may have been restarted: then all have so long to come back.
"""

LAST_LOOK = 0.3
"""Seconds after which a node whose lease is over is dead; it may just renew it."""

AFTER_ALL = 3.0
"""
Seconds after its own lease was over in which a node counts on none of the others'.

When PostgreSQL was frozen, or its clock was set, those of all are over at once, and
each renews its own when it finds that out.
"""

WITHOUT_SESSION = 5.0
"""Seconds without a session, while the database works, after which the log says so."""

ELSEWHERE = (
    "it is not in the database that has the runs. LLAMAKEEP_DATABASE_DIRECT_URL has to "
    "lead to the same database as LLAMAKEEP_DATABASE_URL."
)

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
        self._failure = ""
        """Why it could not be held."""
        self._without_since: float | None = None
        """When a look found no session of this node, by the event loop's clock."""
        self._living: Mapping[str, Node] = {}
        """What the last look found."""
        self._counts_on_leases_at = float("-inf")
        """From when on, by the event loop's clock."""
        self._with_session: set[str] = set()
        """Nodes whose session was seen by this one's, since that was opened."""
        self._seen_by = 0
        """The number of that session."""
        self._settled_at = float("inf")
        """When all had the time to have one, too, by the event loop's clock."""
        self._silent: dict[str, tuple[Node, float]] = {}
        """Nodes without a sign of life, and since when."""
        self._holding = Repeated("holding a session", self._hold, every=EVERY)
        self._looking = Repeated("looking for dead nodes", self._look, every=EVERY)

    async def open(self) -> None:
        """Begin."""
        await self._holding.once()
        self._holding.open()
        self._looking.open(at_once=True)

    async def close(self) -> None:
        """Stop, and end the session."""
        await self._looking.close()
        await self._holding.close()
        if self._session is not None:
            await self._session.close()

    async def _hold(self) -> None:
        try:
            await self._try_to_hold()
        except StorageUnavailable as error:
            self._failure = error.detail

    async def _try_to_hold(self) -> None:
        if self._session is None and self._may_have_session:
            self._session = await self._storage.open_session(
                self._node, told=self._left, lost=self._lost
            )
            self._may_have_session = self._session is not None
        if self._session is not None and not self._session.is_held:
            if self._session.number:
                self._renew()  # until it is back, the lease says that this one lives
            await self._session.hold()
            self._failure = ""

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
            now = asyncio.get_running_loop().time()
            self._counts_on_leases_at = now + AFTER_ALL
            self._renew()
            return
        if own.has_session and not own.had_session:
            await self._storage.note_session(self._node)
        self._check_session(own)
        dead = self._dead(own)
        if self._silent:
            graces = [self._grace_of(each) for each, _ in self._silent.values()]
            asyncio.get_running_loop().call_later(min(graces), self._looking.wake)
        if dead:
            names = ", ".join(each.id for each in dead)
            log.warning("%s gave no sign of life; others take its runs over", names)
            await self._storage.declare_dead(dead)
            self._left()

    def _check_session(self, own: Node) -> None:
        """Warn, once, if the database works and has not had a session for a while."""
        if own.has_session or not self._may_have_session:
            self._without_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._without_since is None:
            self._without_since = now
        elif now - self._without_since >= WITHOUT_SESSION:
            self._without_since = float("inf")  # it is said
            log.warning(
                "there is no session by which other servers notice that this one has "
                "ended, so they wait until its lease is over: %s",
                self._failure or ELSEWHERE,
            )

    def _dead(self, own: Node) -> list[Node]:
        """Return the nodes that were silent for long enough."""
        session, now = self._session, asyncio.get_running_loop().time()
        # After a failover, or a restart of PostgreSQL, no node has a session yet.
        sees_sessions = session is not None and session.is_held and own.has_session
        if session is not None and session.number != self._seen_by:
            self._seen_by, self._settled_at = session.number, now + SETTLING
            self._with_session.clear()
        silent: dict[str, tuple[Node, float]] = {}
        for each in self._living.values():
            if sees_sessions and each.has_session:
                self._with_session.add(each.id)
            had_session = each.id in self._with_session or (
                each.had_session and now >= self._settled_at
            )
            is_gone = sees_sessions and had_session and not each.has_session
            is_over = each.is_expired and now >= self._counts_on_leases_at
            if each is not own and (is_gone or is_over):
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
