"""Users and what they log in with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update

from llamakeep.domain import User, new_id, utc_now
from llamakeep.errors import FieldError, InvalidRequest, Unauthenticated
from llamakeep.storage.database import Database
from llamakeep.storage.prepared import Prepared
from llamakeep.storage.tables import access_tokens, api_keys, users

_USER = (users.c.id, users.c.username, users.c.created_at, users.c.disabled_at)
_BY_DIGEST = Prepared(
    select(*_USER)
    .join(access_tokens, access_tokens.c.user_id == users.c.id)
    .where(
        access_tokens.c.digest == bindparam("digest"),
        access_tokens.c.expires_at > bindparam("now"),
        users.c.disabled_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user, and what proves that it is them."""

    user: User
    password_hash: str | None
    """`None` for users who only exist on this machine's command line."""


class UserStorage:
    """One method is one transaction."""

    _database: Database

    async def add_user(self, username: str, password_hash: str | None) -> User:
        """
        Create a user.

        Raises:
            InvalidRequest: The name is taken, whatever its case.
        """

        def operation(connection: Connection) -> User:
            if _find(connection, username) is not None:
                wrong = FieldError("username", f"There is a user {username!r} already.")
                raise InvalidRequest(errors=[wrong])
            user = User(new_id("user_"), username, utc_now())
            connection.execute(
                insert(users),
                {
                    "id": user.id,
                    "username": username,
                    "username_key": username.casefold(),
                    "password_hash": password_hash,
                    "created_at": user.created_at,
                },
            )
            return user

        return await self._database.write(operation)

    async def find_credentials(self, username: str) -> Credentials | None:
        """Return the user of that name, whatever its case, enabled or not."""
        return await self._database.read(lambda connection: _find(connection, username))

    async def find_user_by_access_token(self, digest: bytes) -> User | None:
        """Return whose access token has this digest, if it is valid now."""
        values = {"digest": digest, "now": utc_now()}

        def operation(connection: Connection) -> User | None:
            rows = _BY_DIGEST.fetch(connection, values)
            return User(*rows[0]) if rows else None

        return await self._database.look_up(operation)

    async def find_digests(self, user_id: str) -> tuple[User, Sequence[bytes]]:
        """
        Return a user, and the digests of all that lets them in now: logins and keys.

        Raises:
            Unauthenticated: Nothing does.
        """
        now = utc_now()
        logins = select(access_tokens.c.digest).where(
            access_tokens.c.user_id == user_id, access_tokens.c.expires_at > now
        )
        keys = select(api_keys.c.digest).where(
            api_keys.c.user_id == user_id,
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
        )
        whose = select(*_USER).where(
            users.c.id == user_id, users.c.disabled_at.is_(None)
        )

        def operation(connection: Connection) -> tuple[User, Sequence[bytes]]:
            row = connection.execute(whose).one_or_none()
            if row is None:
                raise Unauthenticated
            return _user(row), list(connection.scalars(logins.union_all(keys)))

        return await self._database.read(operation)

    async def list_users(self) -> Sequence[User]:
        """Return all users, by name."""
        query = select(*_USER).order_by(users.c.username_key)
        return await self._database.read(
            lambda connection: [_user(row) for row in connection.execute(query)]
        )

    async def set_password(self, user: User, password_hash: str) -> None:
        """Change the password, and end every login made with the old one."""

        def operation(connection: Connection) -> None:
            _change(connection, user, password_hash=password_hash)
            _log_out_everywhere(connection, user)

        await self._database.write(operation)

    async def rehash_password(self, user: User, old: str, new: str) -> None:
        """Store the same password with newer parameters, unless it was changed."""
        query = (
            update(users)
            .where(users.c.id == user.id, users.c.password_hash == old)
            .values(password_hash=new)
        )
        await self._database.write(lambda connection: connection.execute(query).close())

    async def disable_user(self, user: User) -> None:
        """Let the user in no more, from the next request on; the history stays."""

        def operation(connection: Connection) -> None:
            _change(connection, user, disabled_at=utc_now())
            _log_out_everywhere(connection, user)

        await self._database.write(operation)

    async def enable_user(self, user: User) -> None:
        """Let the user in again."""
        await self._database.write(
            lambda connection: _change(connection, user, disabled_at=None)
        )

    async def add_access_token(
        self, user: User, digest: bytes, *, lifetime: timedelta
    ) -> datetime:
        """
        Let `user` in with the access token that has this digest.

        Returns:
            When it expires. Those of the user that already have are forgotten.
        """
        now = utc_now()
        values = {
            "digest": digest,
            "user_id": user.id,
            "created_at": now,
            "expires_at": now + lifetime,
        }

        def operation(connection: Connection) -> datetime:
            _revoke(
                connection,
                access_tokens.c.user_id == user.id,
                access_tokens.c.expires_at <= now,
            )
            _revoke(connection, access_tokens.c.digest == digest)
            connection.execute(insert(access_tokens), values)
            return now + lifetime

        return await self._database.write(operation)

    async def revoke_access_token(self, digest: bytes) -> None:
        """Make the access token invalid from the next request on."""
        await self._database.write(
            lambda connection: _revoke(connection, access_tokens.c.digest == digest)
        )


def _find(connection: Connection, username: str) -> Credentials | None:
    query = select(*_USER, users.c.password_hash).where(
        users.c.username_key == username.casefold()
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Credentials(_user(row), row.password_hash)


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(row.id, row.username, row.created_at, row.disabled_at)


def _change(connection: Connection, user: User, **values: object) -> None:
    connection.execute(update(users).where(users.c.id == user.id).values(values))


def _revoke(connection: Connection, *conditions: Any) -> None:
    connection.execute(delete(access_tokens).where(*conditions))


def _log_out_everywhere(connection: Connection, user: User) -> None:
    _revoke(connection, access_tokens.c.user_id == user.id)
