"""API keys: create, find, rotate, revoke."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from llamakeep.domain import Actor, ApiKey, AuditKind, Scope, User, utc_now
from llamakeep.errors import ApiKeyNotFound, TooManyApiKeys, Unauthenticated
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.credential_cache import CredentialCache
from llamakeep.storage.accounts.tables import access_tokens, api_keys, users
from llamakeep.storage.accounts.users import USER
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.prepared import Prepared

MOST_API_KEYS = 100
NOTED_FOR = timedelta(seconds=30)
"""How long the use of a key is not written again."""
"""API keys that a user may have."""

USE_INTERVAL = timedelta(minutes=1)
"""The precision of a key's last use: each update is a write."""


def _is_valid(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    return or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)


_KEY = tuple(c for c in api_keys.c if c.name not in {"user_id", "digest"})
_BY_DIGEST = Prepared(
    select(*USER, *_KEY)
    .join(users, api_keys.c.user_id == users.c.id)
    .where(
        api_keys.c.digest == bindparam("digest"),
        _is_valid(bindparam("now")),
        users.c.disabled_at.is_(None),
    )
)
_NAMES = [column.name for column in _KEY]


class ApiKeyStorage:
    """Stores API keys."""

    _database: Database
    _credentials: CredentialCache

    async def add_api_key(
        self, user: User, key: ApiKey, digest: bytes, *, actor: Actor | None = None
    ) -> None:
        """
        Store an API key by its digest, and delete the user's expired keys.

        Without an `actor`, no audit event is written.

        Raises:
            TooManyApiKeys: The user has `MOST_API_KEYS`.
        """

        def operation(connection: Connection) -> None:
            _delete_expired(connection, user)
            _add(connection, user, key, digest)
            record(connection, AuditKind.KEY_CREATED, user, actor, _describe(key))

        await self._database.write(operation)

    async def replace_api_key(
        self,
        user: User,
        old: str,
        key: ApiKey,
        digest: bytes,
        *,
        overlap: timedelta,
        actor: Actor | None = None,
    ) -> None:
        """
        Add `key`, and make `old` expire after `overlap` at the latest.

        Raises:
            ApiKeyNotFound: `user` has no such key, or it has expired.
            TooManyApiKeys: The user has `MOST_API_KEYS`.
        """
        end = utc_now() + overlap

        def operation(connection: Connection) -> None:
            _delete_expired(connection, user)
            known = _get(connection, user, old)
            _add(connection, user, key, digest)
            if known.expires_at is None or known.expires_at > end:
                connection.execute(
                    update(api_keys)
                    .where(api_keys.c.id == old)
                    .values(expires_at=end, name=f"{known.name[:55]} (rotated)")
                )
            detail = f"{old} into {_describe(key)}"
            record(connection, AuditKind.KEY_ROTATED, user, actor, detail)

        await self._database.write(operation)

    async def find_user_by_api_key(self, digest: bytes) -> User | None:
        """Return the user of a valid API key, with the key."""
        return await self._credentials.look_up(digest, _BY_DIGEST, _user_and_expiry)

    async def find_digests(self, user_id: str) -> tuple[User, Sequence[bytes]]:
        """
        Return a user, and the digests of their valid access tokens and API keys.

        Raises:
            Unauthenticated: There is no such user, or they are disabled.
        """
        now = utc_now()
        logins = select(access_tokens.c.digest).where(
            access_tokens.c.user_id == user_id, access_tokens.c.expires_at > now
        )
        keys = select(api_keys.c.digest).where(
            api_keys.c.user_id == user_id, _is_valid(now)
        )
        whose = select(*USER).where(
            users.c.id == user_id, users.c.disabled_at.is_(None)
        )

        def operation(connection: Connection) -> tuple[User, Sequence[bytes]]:
            row = connection.execute(whose).one_or_none()
            if row is None:
                raise Unauthenticated
            return User(*row), list(connection.scalars(logins.union_all(keys)))

        return await self._database.read(operation)

    async def note_use(self, key: ApiKey) -> None:
        """Update the key's last use, unless that was done a moment ago."""
        if self._credentials.is_noted(key.id, utc_now(), within=NOTED_FOR):
            return
        query = (
            update(api_keys)
            .where(api_keys.c.id == key.id)
            .values(last_used_at=utc_now())
        )
        await self._database.write(lambda connection: connection.execute(query).close())

    async def list_api_keys(self, user: User) -> Sequence[ApiKey]:
        """Return the user's keys that have not expired, newest first."""
        query = (
            select(*_KEY)
            .where(api_keys.c.user_id == user.id, _is_valid(utc_now()))
            .order_by(api_keys.c.id.desc())
        )
        return await self._database.read(
            lambda connection: [_key(row) for row in connection.execute(query)]
        )

    async def get_api_key(self, user: User, key_id: str) -> ApiKey:
        """
        Return one of the user's keys.

        Raises:
            ApiKeyNotFound: `user` has no such key, or it has expired.
        """
        return await self._database.read(
            lambda connection: _get(connection, user, key_id)
        )

    async def revoke_api_key(
        self, user: User, key_id: str, *, actor: Actor | None = None
    ) -> None:
        """
        Make a key invalid from the next request on.

        Raises:
            ApiKeyNotFound: `user` has no such key.
        """
        query = delete(api_keys).where(
            api_keys.c.id == key_id, api_keys.c.user_id == user.id
        )

        def operation(connection: Connection) -> None:
            if connection.execute(query).rowcount == 0:
                raise _not_found(key_id)
            record(connection, AuditKind.KEY_REVOKED, user, actor, key_id)

        await self._database.write(operation)


def _user_and_expiry(row: Sequence[Any]) -> tuple[User, datetime | None]:
    key = _key(row[len(USER) :])
    return replace(User(*row[: len(USER)]), api_key=key), key.expires_at


def _describe(key: ApiKey) -> str:
    return f"{key.id} ({', '.join(sorted(key.scopes))}): {key.name}"


def _add(connection: Connection, user: User, key: ApiKey, digest: bytes) -> None:
    count = select(func.count()).where(
        api_keys.c.user_id == user.id, _is_valid(key.created_at)
    )
    if (connection.scalar(count) or 0) >= MOST_API_KEYS:
        raise TooManyApiKeys(
            f"{user.username} has {MOST_API_KEYS} API keys, as many as there may be. "
            "Nothing was created. Revoke those that are not in use."
        )
    connection.execute(
        insert(api_keys),
        {
            "id": key.id,
            "user_id": user.id,
            "digest": digest,
            "name": key.name,
            "hint": key.hint,
            "scopes": sorted(key.scopes),
            "models": None if key.models is None else sorted(key.models),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "limits": key.limits,
            "keeps": key.keeps,
        },
    )


def _delete_expired(connection: Connection, user: User) -> None:
    now = utc_now()
    query = delete(api_keys).where(
        api_keys.c.user_id == user.id, api_keys.c.expires_at <= now, is_plausible(now)
    )
    connection.execute(query)


def _get(connection: Connection, user: User, key_id: str) -> ApiKey:
    query = select(*_KEY).where(
        api_keys.c.id == key_id, api_keys.c.user_id == user.id, _is_valid(utc_now())
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise _not_found(key_id)
    return _key(row)


def _not_found(key_id: str) -> ApiKeyNotFound:
    return ApiKeyNotFound(f"There is no API key {key_id!r} of this user.")


def _key(row: Sequence[Any]) -> ApiKey:
    facts = dict(zip(_NAMES, row, strict=True))
    scopes, models = facts.pop("scopes"), facts.pop("models")
    return ApiKey(
        scopes=frozenset(map(Scope, scopes)),
        models=None if models is None else frozenset(models),
        **facts,
    )
