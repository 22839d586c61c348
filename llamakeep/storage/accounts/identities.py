"""Identities: who users are at identity providers."""

from sqlalchemy import Connection, insert, select, text

from llamakeep.domain import Actor, User, UserRole, utc_now
from llamakeep.errors import SignInRefused
from llamakeep.storage.accounts.administration import change_role
from llamakeep.storage.accounts.invitations import record_use, use
from llamakeep.storage.accounts.tables import identities, users
from llamakeep.storage.accounts.users import (
    USER,
    create_user,
    is_free,
    log_out_everywhere,
)
from llamakeep.storage.database.port import Database

MOST_NUMBERS = 100
"""How many users may have the same name at the provider."""


class IdentityStorage:
    """Stores identities."""

    _database: Database

    async def user_of_identity(
        self,
        issuer: str,
        subject: str,
        *,
        name: str,
        role: UserRole | None,
        invitation: bytes | None = None,
        actor: Actor,
    ) -> User:
        """
        Return the user of an identity, who is created at the first sign-in.

        A new user never gets another one's account: a name that is taken is followed by
        a number.

        Args:
            issuer: Who says so.
            subject: Who it is there.
            name: What a new user is called, if that is free.
            role: What the provider says; `None` leaves it to administrators.
            invitation: The digest of one that a new user uses.
            actor: The client, for the audit log.

        Raises:
            SignInRefused: The user is disabled.
            InvitationRefused: A new user's invitation is not open any more.
        """

        def operation(connection: Connection) -> User:
            user = _find(connection, issuer, subject)
            if user is None and connection.dialect.name == "postgresql":
                # Two first sign-ins at once would not see each other's rows.
                connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
                user = _find(connection, issuer, subject)
            if user is None:
                invited = use(connection, invitation) if invitation else None
                user = create_user(
                    connection,
                    _free_name(connection, name),
                    None,
                    role=role or (invited.role if invited else UserRole.USER),
                    limits=invited.limits if invited else None,
                    models=invited.models if invited else None,
                    actor=actor,
                )
                if invited is not None:
                    record_use(connection, invited, user, actor)
                values = {
                    "issuer": issuer,
                    "subject": subject,
                    "user_id": user.id,
                    "created_at": utc_now(),
                }
                connection.execute(insert(identities), values)
                return user
            if user.disabled_at is not None:
                raise SignInRefused(
                    "Your account is disabled. Ask an administrator.",
                    reason=f"the user {user.username!r} is disabled",
                )
            if role is not None and role is not user.role:
                user = change_role(connection, user, role, actor)
            return user

        return await self._database.write(operation)

    async def log_out_identity(self, issuer: str, subject: str) -> None:
        """End the logins of an identity's user, if it has one."""

        def operation(connection: Connection) -> None:
            user = _find(connection, issuer, subject)
            if user is not None:
                log_out_everywhere(connection, user)

        await self._database.write(operation)

    async def has_identity(self, user: User, issuer: str | None = None) -> bool:
        """Return whether a user signs in through a provider, or through any."""
        query = select(identities.c.user_id).where(identities.c.user_id == user.id)
        if issuer is not None:
            query = query.where(identities.c.issuer == issuer)
        return await self._database.read(
            lambda connection: connection.scalar(query.limit(1)) is not None
        )


def _find(connection: Connection, issuer: str, subject: str) -> User | None:
    query = (
        select(*USER)
        .join(identities, identities.c.user_id == users.c.id)
        .where(identities.c.issuer == issuer, identities.c.subject == subject)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else User(*row)


def _free_name(connection: Connection, name: str) -> str:
    for number in range(1, MOST_NUMBERS):
        candidate = name if number == 1 else f"{name}-{number}"
        if is_free(connection, candidate):
            return candidate
    raise SignInRefused(
        "There are too many users of your name. Ask an administrator.",
        reason=f"there are {MOST_NUMBERS} users called {name!r}",
    )
