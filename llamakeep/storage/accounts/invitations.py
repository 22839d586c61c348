"""Invitations: kept until they are used, revoked or too old."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from llamakeep.domain import Actor, AuditKind, Invitation, User, utc_now
from llamakeep.errors import InvitationNotFound, InvitationRefused
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.tables import invitations
from llamakeep.storage.accounts.users import create_user
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.port import Database

_INVITATION = tuple(c for c in invitations.c if c.name not in {"digest", "made_by"})


class InvitationStorage:
    """Stores invitations."""

    _database: Database

    async def add_invitation(
        self, invitation: Invitation, digest: bytes, *, actor: Actor
    ) -> None:
        """Store an invitation by its token's digest, and delete expired ones."""
        now = utc_now()
        values = {
            column.name: getattr(invitation, column.name) for column in _INVITATION
        }

        def operation(connection: Connection) -> None:
            connection.execute(
                delete(invitations).where(
                    invitations.c.expires_at <= now, is_plausible(now)
                )
            )
            made_by = actor.user.id if actor.user else None
            more = {"digest": digest, "made_by": made_by}
            connection.execute(insert(invitations), values | more)
            said = _describe(invitation)
            record(connection, AuditKind.INVITATION_CREATED, None, actor, said)

        await self._database.write(operation)

    async def list_invitations(
        self, *, before: str | None = None, limit: int | None = 50
    ) -> Sequence[Invitation]:
        """Return open invitations, newest first, with ids below `before`."""
        query = (
            select(*_INVITATION)
            .where(invitations.c.expires_at > utc_now())
            .order_by(invitations.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(invitations.c.id < before)
        return await self._database.read(
            lambda connection: [
                Invitation(**row) for row in connection.execute(query).mappings()
            ]
        )

    async def revoke_invitation(self, invitation_id: str, *, actor: Actor) -> None:
        """
        Delete an invitation.

        Raises:
            InvitationNotFound: None of that id is open.
        """

        def operation(connection: Connection) -> None:
            if not _revoke(connection, invitations.c.id == invitation_id, actor):
                raise InvitationNotFound(
                    f"There is no open invitation {invitation_id!r}. It may have been "
                    "used, or be too old."
                )

        await self._database.write(operation)

    async def check_invitation(self, digest: bytes) -> None:
        """
        Check an invitation, before the server spends time on hashing a password.

        Raises:
            InvitationRefused: It is unknown, used, revoked or expired.
        """
        query = select(*_INVITATION).where(*_is_open(digest))

        def operation(connection: Connection) -> None:
            if connection.execute(query).first() is None:
                raise _refused()

        await self._database.read(operation)

    async def accept_invitation(
        self, digest: bytes, username: str, password_hash: str, *, actor: Actor
    ) -> User:
        """
        Create a user by an invitation, and delete the invitation.

        Raises:
            InvitationRefused: It is unknown, used, revoked or expired.
            InvalidRequest: The name is taken; the invitation stays open.
        """

        def operation(connection: Connection) -> User:
            invitation = use(connection, digest)
            user = create_user(
                connection,
                username,
                password_hash,
                role=invitation.role,
                limits=invitation.limits,
                models=invitation.models,
                actor=actor,
            )
            record_use(connection, invitation, user, actor)
            return user

        return await self._database.write(operation)


def use(connection: Connection, digest: bytes) -> Invitation:
    """
    Delete an open invitation, and return it; of several requests, one gets it.

    Raises:
        InvitationRefused: It is unknown, used, revoked or expired.
    """
    query = delete(invitations).where(*_is_open(digest)).returning(*_INVITATION)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise _refused()
    return Invitation(**row)


def revoke_made_by(connection: Connection, user: User, actor: Actor | None) -> None:
    """Delete the open invitations that a user made, who may make none any more."""
    _revoke(connection, invitations.c.made_by == user.id, actor)


def _revoke(
    connection: Connection, which: ColumnElement[bool], actor: Actor | None
) -> bool:
    """Delete open invitations, and return whether there were any."""
    query = delete(invitations).where(which, invitations.c.expires_at > utc_now())
    rows = connection.execute(query.returning(*_INVITATION)).mappings().all()
    for row in rows:
        said = _describe(Invitation(**row))
        record(connection, AuditKind.INVITATION_REVOKED, None, actor, said)
    return bool(rows)


def record_use(
    connection: Connection, invitation: Invitation, user: User, actor: Actor
) -> None:
    """Note in the audit log by which invitation a user was created."""
    said = _describe(invitation)
    record(connection, AuditKind.INVITATION_USED, user, actor, said)


def _is_open(digest: bytes) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return invitations.c.digest == digest, invitations.c.expires_at > utc_now()


def _describe(invitation: Invitation) -> str:
    limits = invitation.limits and ", ".join(
        f"{name} {amount}" for name, amount in invitation.limits.given().items()
    )
    models = invitation.models and ", ".join(sorted(invitation.models))
    parts = (invitation.id, invitation.role.value, invitation.email, limits, models)
    return ", ".join(part for part in parts if part)


def _refused() -> InvitationRefused:
    return InvitationRefused(
        "This invitation is wrong, used, revoked or too old. No account was created. "
        "Ask an administrator for another one."
    )
