"""Codes with which the page logs in a command line: kept for minutes, used once."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from llamakeep.domain import Actor, AuditKind, User, utc_now
from llamakeep.errors import LoginCodeRefused, Unauthenticated
from llamakeep.storage.accounts.administration import get_user
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.logins import add_login
from llamakeep.storage.accounts.tables import access_tokens, login_codes
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.port import Database


class LoginCodeStorage:
    """Stores login codes."""

    _database: Database

    async def add_login_code(
        self,
        user: User,
        digest: bytes,
        *,
        challenge: str,
        name: str,
        lifetime: timedelta,
        login: bytes,
        longest: timedelta,
        actor: Actor,
    ) -> datetime:
        """
        Store a code by its digest, and delete the user's expired ones.

        Args:
            user: Who gives it.
            digest: Of the code.
            challenge: Of the program that may use it.
            name: What that program calls itself, for the audit log.
            lifetime: Of the code.
            login: The digest of the access token of this request. What the code is
                exchanged for ends when that does, so that no login extends itself.
            longest: How long a login lasts at most.
            actor: The client.

        Returns:
            When the code expires.

        Raises:
            Unauthenticated: The login of this request has ended.
        """
        now = utc_now()
        whose = access_tokens.c.digest == login, access_tokens.c.expires_at > now
        old = delete(login_codes).where(
            login_codes.c.user_id == user.id,
            login_codes.c.expires_at <= now,
            is_plausible(now),
        )

        def operation(connection: Connection) -> datetime:
            query = select(access_tokens.c.expires_at).where(*whose)
            ends_at = connection.scalar(query)
            if ends_at is None:
                raise Unauthenticated
            connection.execute(old)
            values = {
                "digest": digest,
                "user_id": user.id,
                "challenge": challenge,
                "login_ends_at": min(ends_at, now + longest),
                "expires_at": now + lifetime,
            }
            connection.execute(insert(login_codes), values)
            record(connection, AuditKind.LOGIN_GRANTED, user, actor, name)
            return now + lifetime

        return await self._database.write(operation)

    async def use_login_code(
        self, digest: bytes, *, challenge: str, access_token: bytes, actor: Actor
    ) -> datetime:
        """
        Exchange a code for an access token with this digest; return when that ends.

        Raises:
            LoginCodeRefused: It is unknown, used, expired or another program's, or its
                user is disabled.
        """
        query = (
            delete(login_codes)
            .where(
                login_codes.c.digest == digest,
                login_codes.c.challenge == challenge,
                login_codes.c.expires_at > utc_now(),
            )
            .returning(login_codes.c.user_id, login_codes.c.login_ends_at)
        )

        def operation(connection: Connection) -> datetime:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise LoginCodeRefused(
                    "This code is wrong, used, too old, or was made for another "
                    "program. Nobody is logged in. Begin again."
                )
            user = get_user(connection, row.user_id)
            ends_at: datetime = row.login_ends_at
            by = Actor(user=user, address=actor.address, user_agent=actor.user_agent)
            add_login(
                connection,
                user,
                access_token,
                ends_at=ends_at,
                is_final=True,  # also in a cookie, where its use would extend it
                actor=by,
            )
            return ends_at

        return await self._database.write(operation)
