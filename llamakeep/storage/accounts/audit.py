"""The audit log: events of accounts and their credentials."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from llamakeep.domain import (
    Actor,
    AuditEvent,
    AuditKind,
    User,
    first_id,
    new_id,
    utc_now,
)
from llamakeep.domain.values import value
from llamakeep.storage.accounts.tables import audit_events
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.port import Database

KEPT = timedelta(days=365)
"""How long an event is kept."""

_LONGEST_ADDRESS = 64
_LONGEST_TEXT = 256
_EVENT = [audit_events.c[each.name] for each in fields(AuditEvent)]


@value
class AuditFilter:
    """Conditions on audit events; `None` is no condition."""

    kind: AuditKind | None = None
    user_id: str | None = None
    """The account."""
    actor_id: str | None = None
    """The user who did it."""
    api_key_id: str | None = None
    since: datetime | None = None
    """The earliest time, inclusive."""
    until: datetime | None = None
    """The latest time, exclusive."""

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield the SQL conditions."""
        events = audit_events.c
        if self.kind is not None:
            yield events.kind == self.kind.value
        for name in ("user_id", "actor_id", "api_key_id"):
            if (wanted := getattr(self, name)) is not None:
                yield events[name] == wanted
        if self.since is not None:
            yield events.id >= first_id("event_", self.since)
        if self.until is not None:
            yield events.id < first_id("event_", self.until)


class AuditStorage:
    """Stores audit events."""

    _database: Database

    async def add_failed_login(self, user: User | None, actor: Actor) -> None:
        """
        Record a failed login.

        If there is no such user, the name is not stored: it may be a password.
        """
        await self._database.write(
            lambda connection: record(connection, AuditKind.LOGIN_FAILED, user, actor)
        )

    async def audit(
        self,
        matching: AuditFilter | None = None,
        *,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[AuditEvent]:
        """Return audit events, newest first, with ids below `before`."""
        query = select(*_EVENT).order_by(audit_events.c.id.desc()).limit(limit)
        if matching is not None:
            query = query.where(*matching.conditions())
        if before is not None:
            query = query.where(audit_events.c.id < before)
        return await self._database.read(
            lambda connection: [
                AuditEvent(**{**row, "kind": AuditKind(row["kind"])})
                for row in connection.execute(query).mappings()
            ]
        )


def record(
    connection: Connection,
    kind: AuditKind,
    user: User | None,
    actor: Actor | None,
    detail: str | None = None,
) -> str | None:
    """
    Insert an audit event, delete old ones, and return its id.

    In the transaction of the change. Without an actor, it is not recorded.
    """
    if actor is None:
        return None
    event = new_event(kind, user, actor, detail)
    record_all(connection, [event])
    return str(event["id"])


def new_event(
    kind: AuditKind, user: User | None, actor: Actor, detail: str | None = None
) -> dict[str, Any]:
    """Return the row of an audit event."""
    key = actor.user.api_key if actor.user else None
    return {
        "id": new_id("event_"),
        "at": utc_now(),
        "kind": kind.value,
        "user_id": user.id if user else None,
        "username": user.username if user else None,
        "actor_id": actor.user.id if actor.user else None,
        "actor_username": actor.user.username if actor.user else None,
        "api_key_id": key.id if key else None,
        "detail": detail and detail[:_LONGEST_TEXT],
        "address": _printable(actor.address, _LONGEST_ADDRESS),
        "user_agent": _printable(actor.user_agent, _LONGEST_TEXT),
    }


def record_all(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Insert audit events, and delete old ones."""
    now = utc_now()
    oldest = new_id("event_", at=now - KEPT)
    connection.execute(
        delete(audit_events).where(audit_events.c.id < oldest, is_plausible(now))
    )
    connection.execute(insert(audit_events), events)


def _printable(text: str | None, length: int) -> str | None:
    return text and "".join(filter(str.isprintable, text[:length]))
