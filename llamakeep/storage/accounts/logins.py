"""Logins: access tokens, in headers and in cookies."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, true, update

from llamakeep.domain import Actor, AuditKind, Login, User, derived_id, utc_now
from llamakeep.errors import LoginNotFound
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.credential_cache import CredentialCache
from llamakeep.storage.accounts.tables import access_tokens, audit_events
from llamakeep.storage.accounts.users import check_is_person, end_login, revoke
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database

MOST_LOGINS = 200
"""How many logins of a user are listed."""

LONGEST_PART = timedelta(days=30)
"""Of a login's lifetime, after which it is extended in any case."""

LOGIN = "login_"


class LoginStorage:
    """Stores access tokens."""

    _database: Database
    _credentials: CredentialCache

    async def add_access_token(
        self,
        user: User,
        digest: bytes,
        *,
        lifetime: timedelta,
        is_cookie: bool = False,
        is_final: bool = False,
        actor: Actor | None = None,
    ) -> datetime:
        """
        Store an access token; delete the user's expired ones; return its end.

        One that is final is not extended by its use.

        Raises:
            WrongKindOfUser: It is a service account.
        """
        ends_at = utc_now() + lifetime
        await self._database.write(
            lambda connection: add_login(
                connection,
                user,
                digest,
                ends_at=ends_at,
                is_cookie=is_cookie,
                is_final=is_final,
                actor=actor,
            )
        )
        return ends_at

    async def renew_login(self, digest: bytes, lifetime: timedelta) -> bool:
        """
        Note that a login is used, and extend it if a seventh of its lifetime is over.

        Or a month, as browsers keep no cookie for more than 400 days. It is looked at
        only so often, and not extended by a clock that may be wrong.

        Returns:
            Whether its lifetime has begun again.
        """
        now = utc_now()
        part = min(lifetime / 7, LONGEST_PART)
        if self._credentials.is_noted(digest.hex(), now, within=part / 24):
            return False
        used = update(access_tokens).where(
            access_tokens.c.digest == digest, access_tokens.c.expires_at > now
        )
        # Another statement: a change of the expiry empties all caches of credentials.
        extended = used.where(
            access_tokens.c.expires_at < now + lifetime - part,
            access_tokens.c.is_final.is_not(true()),
            is_plausible(now),
        )

        def operation(connection: Connection) -> bool:
            connection.execute(used.values(last_used_at=now))
            query = extended.values(expires_at=now + lifetime)
            return connection.execute(query).rowcount == 1

        return await self._database.write(operation)

    async def log_out(self, user: User, digest: bytes, actor: Actor) -> None:
        """Delete an access token, and the user's login codes."""

        def operation(connection: Connection) -> None:
            end_login(connection, user, digest)
            record(connection, AuditKind.LOGOUT, user, actor)

        await self._database.write(operation)

    async def list_logins(self, user: User) -> Sequence[Login]:
        """Return the user's logins that are not over, the last used first."""
        query = (
            select(
                access_tokens.c.digest,
                access_tokens.c.is_cookie,
                access_tokens.c.created_at,
                access_tokens.c.expires_at,
                access_tokens.c.last_used_at,
                audit_events.c.address,
                audit_events.c.user_agent,
            )
            .outerjoin(audit_events, audit_events.c.id == access_tokens.c.event_id)
            .where(
                access_tokens.c.user_id == user.id,
                access_tokens.c.expires_at > utc_now(),
            )
            .order_by(
                func.coalesce(
                    access_tokens.c.last_used_at, access_tokens.c.created_at
                ).desc(),
                access_tokens.c.digest,
            )
            .limit(MOST_LOGINS)
        )
        return await self._database.read(
            lambda connection: [
                Login(
                    id=derived_id(LOGIN, row.digest),
                    is_cookie=bool(row.is_cookie),
                    created_at=row.created_at,
                    expires_at=row.expires_at,
                    last_used_at=row.last_used_at,
                    address=row.address,
                    user_agent=row.user_agent,
                )
                for row in connection.execute(query)
            ]
        )

    async def end_login(self, user: User, login_id: str, actor: Actor) -> None:
        """
        Make a login's access token invalid, from the next request on.

        So are the user's login codes, which it may have given.

        Raises:
            LoginNotFound: `user` has no such login.
        """
        whose = select(access_tokens.c.digest).where(access_tokens.c.user_id == user.id)

        def operation(connection: Connection) -> None:
            for digest in connection.scalars(whose).all():
                if derived_id(LOGIN, digest) == login_id:
                    end_login(connection, user, digest)
                    record(connection, AuditKind.LOGOUT, user, actor, login_id)
                    return
            raise LoginNotFound(
                f"You have no login {login_id!r}, or it is over. Nothing was changed."
            )

        await self._database.write(operation)


def add_login(
    connection: Connection,
    user: User,
    digest: bytes,
    *,
    ends_at: datetime,
    is_cookie: bool = False,
    is_final: bool = False,
    actor: Actor | None,
) -> None:
    """
    Store an access token, and delete the user's expired ones.

    Raises:
        WrongKindOfUser: It is a service account.
    """
    check_is_person(user)
    now = utc_now()
    revoke(
        connection,
        access_tokens.c.user_id == user.id,
        access_tokens.c.expires_at <= now,
        is_plausible(now),
    )
    values = {
        "digest": digest,
        "user_id": user.id,
        "created_at": now,
        "expires_at": ends_at,
        "is_cookie": is_cookie,
        "is_final": is_final,
        "event_id": record(connection, AuditKind.LOGIN_SUCCEEDED, user, actor),
    }
    # Several servers may add the access token of the demonstration at once.
    add = colliding_insert(connection, access_tokens).values(values)
    renewed = {name: add.excluded[name] for name in values}
    add = add.on_conflict_do_update(index_elements=["digest"], set_=renewed)
    connection.execute(add)
