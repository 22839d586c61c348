"""Users and their passwords."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from llamakeep.domain import Actor, AuditKind, Limits, User, UserRole, new_id, utc_now
from llamakeep.errors import InvalidRequest, WrongKindOfUser
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.credential_cache import CredentialCache
from llamakeep.storage.accounts.tables import (
    access_tokens,
    login_codes,
    password_resets,
    users,
)
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.prepared import Prepared

USER = (
    users.c.id,
    users.c.username,
    users.c.created_at,
    users.c.disabled_at,
    users.c.role,
    users.c.limits,
    users.c.keeps,
    users.c.is_service,
    users.c.models,
)
"""The columns of a `User`, in its order."""
_BY_DIGEST = Prepared(
    select(*USER, access_tokens.c.expires_at)
    .join(access_tokens, access_tokens.c.user_id == users.c.id)
    .where(
        access_tokens.c.digest == bindparam("digest"),
        access_tokens.c.expires_at > bindparam("now"),
        users.c.disabled_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user, and the hash of their password."""

    user: User
    password_hash: str | None
    """`None` for users without a password, who are used on the command line only."""


class UserStorage:
    """Stores users."""

    _database: Database
    _credentials: CredentialCache

    async def add_user(
        self,
        username: str,
        password_hash: str | None,
        *,
        role: UserRole = UserRole.USER,
        is_service: bool = False,
        actor: Actor | None = None,
    ) -> User:
        """
        Create a user.

        Users who do not log in have no password; service accounts never get one.
        Without an actor, there is no audit event.

        Raises:
            InvalidRequest: The name is taken.
        """
        return await self._database.write(
            lambda connection: create_user(
                connection,
                username,
                password_hash,
                role=role,
                is_service=is_service,
                actor=actor,
            )
        )

    async def find_credentials(self, username: str) -> Credentials | None:
        """Return the user of that name, regardless of case, enabled or not."""
        return await self._database.read(lambda connection: _find(connection, username))

    async def find_user_by_access_token(self, digest: bytes) -> User | None:
        """Return the user of a valid access token."""
        return await self._credentials.look_up(
            digest, _BY_DIGEST, lambda row: (User(*row[:-1]), row[-1])
        )

    async def list_users(self) -> Sequence[User]:
        """Return all users, by name."""
        query = (
            select(*USER)
            .where(users.c.deleted_at.is_(None))
            .order_by(users.c.username_key)
        )
        return await self._database.read(
            lambda connection: [User(*row) for row in connection.execute(query)]
        )

    async def set_password(
        self,
        user: User,
        password_hash: str,
        *,
        kept_login: bytes | None = None,
        actor: Actor | None = None,
    ) -> None:
        """
        Set a password, and end the logins made with the old one.

        The access token of the digest `kept_login` stays valid. Without an actor, there
        is no audit event.

        Raises:
            WrongKindOfUser: It is a service account.
        """
        check_is_person(user)

        def operation(connection: Connection) -> None:
            change_password(connection, user, password_hash, kept_login=kept_login)
            record(connection, AuditKind.PASSWORD_CHANGED, user, actor)

        await self._database.write(operation)

    async def rehash_password(self, user: User, old: str, new: str) -> None:
        """Store a newer hash of the same password, unless it was changed."""
        query = (
            update(users)
            .where(users.c.id == user.id, users.c.password_hash == old)
            .values(password_hash=new)
        )
        await self._database.write(lambda connection: connection.execute(query).close())


async def is_there(database: Database, user_id: str) -> bool:
    """Return whether a user exists."""
    query = select(users.c.id).where(users.c.id == user_id)
    return await database.read(lambda c: c.scalar(query)) is not None


def create_user(
    connection: Connection,
    username: str,
    password_hash: str | None,
    *,
    role: UserRole,
    limits: Limits | None = None,
    models: frozenset[str] | None = None,
    is_service: bool = False,
    actor: Actor | None,
) -> User:
    """
    Create a user.

    Raises:
        InvalidRequest: The name is taken, regardless of case.
    """
    assert password_hash is None or not is_service
    if _find(connection, username) is not None:
        raise InvalidRequest.of("username", f"There is a user {username!r} already.")
    user = User(
        id=new_id("user_"),
        username=username,
        created_at=utc_now(),
        role=role,
        limits=limits,
        models=models,
        is_service=is_service,
    )
    connection.execute(
        insert(users),
        {
            "id": user.id,
            "username": username,
            "username_key": username.casefold(),
            "password_hash": password_hash,
            "created_at": user.created_at,
            "role": role,
            "limits": limits,
            "models": models,
            "is_service": is_service,
        },
    )
    said = f"{role.value}, service account" if is_service else role.value
    record(connection, AuditKind.USER_CREATED, user, actor, said)
    return user


def check_is_person(user: User) -> None:
    """
    Check that a user may have a login.

    Raises:
        WrongKindOfUser: It is a service account.
    """
    if user.is_service:
        raise WrongKindOfUser(
            f"{user.username} is a service account: it has no password and no login, "
            "and programs use its API keys. Nothing was changed."
        )


def is_free(connection: Connection, username: str) -> bool:
    """Return whether no user has a name, regardless of case."""
    return _find(connection, username) is None


def change_password(
    connection: Connection,
    user: User,
    password_hash: str,
    *,
    kept_login: bytes | None = None,
) -> None:
    """Set a password, and end the user's logins and reset token."""
    connection.execute(
        update(users).where(users.c.id == user.id).values(password_hash=password_hash)
    )
    connection.execute(
        delete(password_resets).where(password_resets.c.user_id == user.id)
    )
    log_out_everywhere(connection, user, but=kept_login)


def end_login(connection: Connection, user: User, digest: bytes) -> None:
    """Delete an access token, and the login codes that its login may have given."""
    connection.execute(delete(login_codes).where(login_codes.c.user_id == user.id))
    revoke(connection, access_tokens.c.digest == digest)


def log_out_everywhere(
    connection: Connection, user: User, *, but: bytes | None = None
) -> None:
    """Delete the user's login codes, and access tokens except one."""
    connection.execute(delete(login_codes).where(login_codes.c.user_id == user.id))
    ended = access_tokens.c.user_id == user.id
    if but is not None:
        ended &= access_tokens.c.digest != but
    revoke(connection, ended)


def _find(connection: Connection, username: str) -> Credentials | None:
    query = select(*USER, users.c.password_hash).where(
        users.c.username_key == username.casefold()
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Credentials(User(*row[:-1]), row.password_hash)


def revoke(connection: Connection, *conditions: Any) -> None:
    """Delete access tokens."""
    connection.execute(delete(access_tokens).where(*conditions))
