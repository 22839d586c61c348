"""Many users at once, all or none."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, insert, select, update

from llamakeep.domain import Actor, AuditKind, Limits, User, UserRole, utc_now
from llamakeep.domain.values import value
from llamakeep.errors import FieldError, InvalidRequest
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.users import create_user
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import password_resets, users


@value
class NewUser:
    """A user to create, who chooses a password with a reset token."""

    username: str
    role: UserRole = UserRole.USER
    limits: Limits | None = None
    retention_days: int | None = None
    keeps: bool = True
    reset_digest: bytes
    """The digest of the reset token."""


class BulkStorage:
    """Stores many users."""

    _database: Database

    async def add_users(
        self,
        wanted: Sequence[NewUser],
        *,
        lifetime: timedelta,
        skips_existing: bool = False,
        actor: Actor,
    ) -> Sequence[User]:
        """
        Create users in one transaction, and return them.

        Args:
            wanted: The users, with names that differ regardless of case.
            lifetime: How long their reset tokens are valid.
            skips_existing: Whether a name that is taken is left as it is.
            actor: Who does it, for the audit log.

        Raises:
            InvalidRequest: Names are taken; there is an error for each. Nothing was
                created.
        """
        expires_at = utc_now() + lifetime

        def operation(connection: Connection) -> Sequence[User]:
            known = set(connection.scalars(select(users.c.username_key)))
            taken = [one for one in wanted if one.username.casefold() in known]
            if taken and not skips_existing:
                names = ", ".join(one.username for one in taken)
                raise InvalidRequest(
                    f"There are users of these names already: {names}. Nothing was "
                    "created.",
                    errors=[
                        FieldError(one.username, "There is a user of that name already")
                        for one in taken
                    ],
                )
            created = []
            for one in wanted:
                if one.username.casefold() in known:
                    continue
                user = create_user(
                    connection, one.username, None, role=one.role, actor=actor
                )
                _set_up(connection, user, one, actor)
                values = {
                    "user_id": user.id,
                    "digest": one.reset_digest,
                    "expires_at": expires_at,
                }
                connection.execute(insert(password_resets), values)
                record(connection, AuditKind.RESET_ISSUED, user, actor)
                created.append(user)
            return created

        return await self._database.write(operation)


def _set_up(connection: Connection, user: User, wanted: NewUser, actor: Actor) -> None:
    changes: dict[str, object] = {}
    if wanted.limits is not None:
        changes["limits"] = wanted.limits
        given = wanted.limits.given().items()
        said = ", ".join(f"{name} {amount}" for name, amount in given)
        record(connection, AuditKind.LIMITS_CHANGED, user, actor, said)
    if wanted.retention_days is not None:
        changes["retention_days"] = wanted.retention_days
        said = f"{wanted.retention_days} days"
        record(connection, AuditKind.RETENTION_CHANGED, user, actor, said)
    if not wanted.keeps:
        changes["keeps"] = False
        record(connection, AuditKind.KEEPING_CHANGED, user, actor, "no texts")
    if changes:
        connection.execute(update(users).where(users.c.id == user.id).values(**changes))
