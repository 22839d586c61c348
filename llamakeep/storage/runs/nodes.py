"""Nodes: the processes that hold runs, each with one lease, and which are dead."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    update,
)

from llamakeep.storage.database.columns import colliding_insert, seconds_from_now
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.port import CHANNEL, Database, Session
from llamakeep.storage.database.tables import nodes, runs
from llamakeep.storage.runs.leases import HELD, Held

_NOW = seconds_from_now("no_seconds")
_AT_ONCE = {"no_seconds": 0}
_IS_IT = and_(nodes.c.id == bindparam("node"), not_(nodes.c.is_dead))
_IS_ALIVE = select(nodes.c.id).where(_IS_IT)
_RENEW = update(nodes).where(_IS_IT).values(lease_until=seconds_from_now("lease"))
_NOTE_SESSION = update(nodes).where(_IS_IT).values(had_session=true())
_OTHERS = nodes.c.id != bindparam("node")
_HAS_RUNS = exists().where(runs.c.owner == nodes.c.id, IS_UNFINISHED)
_FORGET = delete(nodes).where(_OTHERS, nodes.c.is_dead, not_(_HAS_RUNS))
_LOCK = func.hashtextextended(nodes.c.id, literal_column("0"))
_LIVING = select(
    nodes.c.id,
    nodes.c.lease_until,
    func.coalesce(nodes.c.lease_until < _NOW, true()),
    # Those of sessions are exclusive.
    not_(func.pg_try_advisory_xact_lock_shared(_LOCK)),
    nodes.c.had_session,
).where(not_(nodes.c.is_dead))

_CONTACTS = select(
    nodes.c.id,
    nodes.c.address,
    nodes.c.secret,
    nodes.c.remote_address,
    nodes.c.certificate,
).where(not_(nodes.c.is_dead), nodes.c.address.is_not(None))
_CONTACT = _CONTACTS.where(
    runs.c.id == bindparam("run_id"), runs.c.owner == nodes.c.id, IS_UNFINISHED
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is not known to be dead."""

    id: str
    lease_until: datetime | None
    is_expired: bool
    """Whether its lease is over, by the database's clock."""
    has_session: bool
    """Whether it has a session that PostgreSQL ends together with its process."""
    had_session: bool = False
    """Whether it had one before."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How other nodes reach a node."""

    node: str
    address: str
    """Its URL for nodes on the same machine."""
    secret: str = field(repr=False)
    """Signs what is sent to it, and what it responds."""
    remote_address: str | None = None
    """Its URL for nodes on other machines, if it listens for them."""
    certificate: str | None = None
    """What it shows them, in PEM."""


class NodeStorage:
    """Stores nodes and their leases."""

    _database: Database

    async def join(
        self, node: str, *, lease: float, contact: Contact | None = None
    ) -> Sequence[Held]:
        """
        Add a node, or one again that was declared dead.

        On a database with one owner process, all other nodes are dead.

        Returns:
            The runs that it holds: no other node has taken them over, nor does later.
        """
        is_alone = self._database.is_sole_owner
        until = None if is_alone else seconds_from_now("lease")
        row: dict[str, Any] = {"id": node, "is_dead": False, "lease_until": until}
        if contact is not None:
            row |= asdict(contact)
            del row["node"]

        def operation(connection: Connection) -> Sequence[Held]:
            if is_alone:
                others = _declare_dead(_OTHERS)
                connection.execute(others, {"node": node, **_AT_ONCE}).close()
            connection.execute(_FORGET, {"node": node}).close()
            insert = colliding_insert(connection, nodes).values(row)
            insert = insert.on_conflict_do_update(
                index_elements=[nodes.c.id],
                set_={name: insert.excluded[name] for name in row if name != "id"},
            )
            connection.execute(insert, {} if is_alone else {"lease": lease}).close()
            # A node that is about to take one of them over is waited for.
            found = connection.execute(HELD.with_for_update(), {"node": node})
            return [Held(*each) for each in found]

        return await self._database.write(operation)

    async def renew(self, node: str, *, lease: float) -> bool:
        """
        Renew a node's lease.

        Returns:
            `False` if it was declared dead, or is not known: others may have its runs.
        """
        if self._database.is_sole_owner:
            return await self._database.look_up(
                lambda connection: connection.scalar(_IS_ALIVE, {"node": node}) == node
            )
        values = {"node": node, "lease": lease}
        return await self._database.write(
            lambda connection: connection.execute(_RENEW, values).rowcount == 1
        )

    async def nodes(self) -> Sequence[Node]:
        """Return the nodes of a shared database that are not known to be dead."""
        return await self._database.look_up(
            lambda connection: [
                Node(*row) for row in connection.execute(_LIVING, _AT_ONCE)
            ]
        )

    async def note_session(self, node: str) -> None:
        """Keep that a node has a session."""
        await self._database.write(
            lambda connection: connection.execute(_NOTE_SESSION, {"node": node}).close()
        )

    async def contact_of(self, run_id: str) -> Contact | None:
        """Return how the node is reached that works on a run."""
        row = await self._database.look_up(
            lambda connection: connection.execute(
                _CONTACT, {"run_id": run_id}
            ).one_or_none()
        )
        return None if row is None else Contact(*row)

    async def contacts(self) -> Sequence[Contact]:
        """Return how all living nodes are reached."""
        return await self._database.look_up(
            lambda connection: [Contact(*row) for row in connection.execute(_CONTACTS)]
        )

    async def declare_dead(self, silent: Collection[Node]) -> None:
        """Let the runs of nodes be taken over, unless a lease was renewed meanwhile."""
        await self._end(
            or_(
                *[
                    and_(
                        nodes.c.id == each.id,
                        nodes.c.lease_until.is_not_distinct_from(each.lease_until),
                    )
                    for each in silent
                ]
            )
        )

    async def release_leases(self, dead: Collection[str]) -> None:
        """Let the runs of nodes be taken over at once: their processes are dead."""
        await self._end(nodes.c.id.in_(sorted(dead)))

    async def open_session(
        self, node: str, *, told: Callable[[], None], lost: Callable[[], None]
    ) -> Session | None:
        """
        Return a session that ends together with this process, for the others to see.

        Args:
            node: Whose it is.
            told: Called when a node was declared dead, or has stopped.
            lost: Called when the session is lost.
        """
        return await self._database.open_session(node, told=told, lost=lost)

    async def _end(self, which: ColumnElement[bool]) -> None:
        tells = not self._database.is_sole_owner

        def operation(connection: Connection) -> None:
            changed = connection.execute(_declare_dead(which), _AT_ONCE).rowcount
            if changed and tells:
                connection.execute(select(func.pg_notify(CHANNEL, ""))).close()

        await self._database.write(operation)


def _declare_dead(which: ColumnElement[bool]) -> Update:
    is_over = nodes.c.lease_until < _NOW
    until = case((is_over, nodes.c.lease_until), else_=_NOW)
    query = update(nodes).where(which, not_(nodes.c.is_dead))
    return query.values(is_dead=true(), lease_until=until)
