"""Many users at once, all or none."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import Connection, insert, select

from llamakeep.domain import Actor, AuditKind, Limits, User, UserRole, new_id, utc_now
from llamakeep.domain.values import value
from llamakeep.errors import FieldError, InvalidRequest
from llamakeep.storage.accounts.audit import new_event, record_all
from llamakeep.storage.accounts.tables import password_resets, users
from llamakeep.storage.database.port import Database


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
            created = [
                (one, User(new_id("user_"), one.username, utc_now(), role=one.role))
                for one in wanted
                if one.username.casefold() not in known
            ]
            if not created:
                return []
            # Three statements, however many users: a server cannot write meanwhile.
            connection.execute(insert(users), [_row(*each) for each in created])
            connection.execute(
                insert(password_resets),
                [
                    {
                        "user_id": user.id,
                        "digest": one.reset_digest,
                        "expires_at": expires_at,
                    }
                    for one, user in created
                ],
            )
            events = [
                new_event(kind, user, actor, said)
                for one, user in created
                for kind, said in _changes(one)
            ]
            record_all(connection, events)
            return [user for _, user in created]

        return await self._database.write(operation)


def _row(wanted: NewUser, user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "username": user.username,
        "username_key": user.username.casefold(),
        "password_hash": None,
        "created_at": user.created_at,
        "role": wanted.role,
        "limits": wanted.limits,
        "retention_days": wanted.retention_days,
        "keeps": wanted.keeps,
    }


def _changes(wanted: NewUser) -> Iterator[tuple[AuditKind, str | None]]:
    yield AuditKind.USER_CREATED, wanted.role.value
    if wanted.limits is not None:
        given = wanted.limits.given().items()
        said = ", ".join(f"{name} {amount}" for name, amount in given)
        yield AuditKind.LIMITS_CHANGED, said
    if wanted.retention_days is not None:
        yield AuditKind.RETENTION_CHANGED, f"{wanted.retention_days} days"
    if not wanted.keeps:
        yield AuditKind.KEEPING_CHANGED, "no texts"
    yield AuditKind.RESET_ISSUED, None
