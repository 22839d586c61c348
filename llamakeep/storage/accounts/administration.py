"""Administration of user accounts."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, insert, select, text, update

from llamakeep.domain import (
    Actor,
    AuditKind,
    Limits,
    RunEvent,
    User,
    UserRole,
    utc_now,
)
from llamakeep.errors import LastAdmin, ResetRefused, SetupRefused, UserNotFound
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.invitations import revoke_made_by
from llamakeep.storage.accounts.tables import identities, password_resets, users
from llamakeep.storage.accounts.users import (
    USER,
    change_password,
    check_is_person,
    create_user,
    log_out_everywhere,
)
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.filters import unfinished_of
from llamakeep.storage.runs.transitions import transition

_HAS_USERS_WITH_PASSWORD = select(exists().where(users.c.password_hash.is_not(None)))


AT_ONCE = 500
"""Users read by id in one statement."""


class AccountStorage:
    """Writes that administrators make."""

    _database: Database

    async def has_users(self) -> bool:
        """Return whether any user has a password, enabled or not."""
        return await self._database.read(
            lambda connection: bool(connection.scalar(_HAS_USERS_WITH_PASSWORD))
        )

    async def add_first_admin(
        self, username: str, password_hash: str, *, actor: Actor
    ) -> User:
        """
        Create the first user who can log in, an administrator.

        Raises:
            SetupRefused: A user with a password exists.
            InvalidRequest: A user without a password has this name.
        """

        def operation(connection: Connection) -> User:
            if connection.dialect.name == "postgresql":
                # Two concurrent calls would not see each other's row.
                connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
            if connection.scalar(_HAS_USERS_WITH_PASSWORD):
                raise SetupRefused("There are users already. Nothing was created.")
            return create_user(
                connection, username, password_hash, role=UserRole.ADMIN, actor=actor
            )

        return await self._database.write(operation)

    async def page_of_users(
        self, *, before: str | None = None, limit: int = 50, part: str | None = None
    ) -> Sequence[User]:
        """Return users, newest first, with ids below `before` and a part of a name."""
        query = (
            select(*USER)
            .where(users.c.deleted_at.is_(None))
            .order_by(users.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(users.c.id < before)
        if part is not None:
            key = users.c.username_key
            query = query.where(key.contains(part.casefold(), autoescape=True))
        return await self._database.read(
            lambda connection: [User(*row) for row in connection.execute(query)]
        )

    async def usernames(self, user_ids: Iterable[str]) -> Mapping[str, str]:
        """Return the names of users that are not deleted, by their ids."""
        ids = [*dict.fromkeys(user_ids)]

        def operation(connection: Connection) -> Mapping[str, str]:
            names: dict[str, str] = {}
            for start in range(0, len(ids), AT_ONCE):
                query = select(users.c.id, users.c.username).where(
                    users.c.id.in_(ids[start : start + AT_ONCE]),
                    users.c.deleted_at.is_(None),
                )
                names.update(
                    (row.id, row.username) for row in connection.execute(query)
                )
            return names

        return await self._database.read(operation) if ids else {}

    async def get_user(self, user_id: str) -> User:
        """
        Return a user, enabled or not.

        Raises:
            UserNotFound: There is none.
        """
        return await self._database.read(
            lambda connection: get_user(connection, user_id)
        )

    async def change_user(
        self,
        user_id: str,
        *,
        role: UserRole | None = None,
        is_disabled: bool | None = None,
        actor: Actor,
    ) -> User:
        """
        Change a user's role or disable them, from the next request on.

        `None` changes nothing. Disabling ends the user's logins and cancels their runs;
        the history stays. Open invitations of one who was an administrator end.

        Raises:
            UserNotFound: There is none.
            LastAdmin: No administrator who can log in would be left.
        """

        def operation(connection: Connection) -> User:
            user = get_user(connection, user_id)
            if role is UserRole.USER or is_disabled:
                check_others(connection, user)
            if role is not None and role is not user.role:
                change_role(connection, user, role, actor)
            if is_disabled is True:
                if user.disabled_at is None:
                    record(connection, AuditKind.USER_DISABLED, user, actor)
                disable(connection, user, actor)
            if is_disabled is False and user.disabled_at is not None:
                _change(connection, user, disabled_at=None)
                record(connection, AuditKind.USER_ENABLED, user, actor)
            return get_user(connection, user_id)

        return await self._database.write(operation)

    async def set_limits(
        self, user_id: str, limits: Limits | None, *, actor: Actor
    ) -> User:
        """
        Set a user's limits, from the next prompt on; `None` removes them.

        Raises:
            UserNotFound: There is none.
        """

        def operation(connection: Connection) -> User:
            user = get_user(connection, user_id)
            _change(connection, user, limits=limits)
            said = limits and ", ".join(f"{k} {v}" for k, v in limits.given().items())
            record(connection, AuditKind.LIMITS_CHANGED, user, actor, said or "none")
            return get_user(connection, user_id)

        return await self._database.write(operation)

    async def set_models(
        self, user_id: str, models: frozenset[str] | None, *, actor: Actor
    ) -> User:
        """
        Set what a user may ask, from the next prompt on; `None` for all.

        Raises:
            UserNotFound: There is none.
        """

        def operation(connection: Connection) -> User:
            user = get_user(connection, user_id)
            _change(connection, user, models=models)
            said = "all" if models is None else ", ".join(sorted(models))
            record(connection, AuditKind.MODELS_CHANGED, user, actor, said)
            return get_user(connection, user_id)

        return await self._database.write(operation)

    async def unfinished_runs(self, user: User) -> Sequence[str]:
        """Return the ids of the user's unfinished runs."""
        query = select(runs.c.id).where(*unfinished_of(user.id))
        return await self._database.read(
            lambda connection: list(connection.scalars(query))
        )

    async def add_password_reset(
        self, user_id: str, digest: bytes, *, lifetime: timedelta, actor: Actor
    ) -> datetime:
        """
        Store the digest of a reset token, with which a user's password is set once.

        It replaces the user's earlier reset token.

        Returns:
            When the token expires.

        Raises:
            UserNotFound: There is none.
            WrongKindOfUser: It is a service account.
        """
        expires_at = utc_now() + lifetime

        def operation(connection: Connection) -> datetime:
            user = get_user(connection, user_id)
            check_is_person(user)
            _delete_reset(connection, user)
            values = {"user_id": user.id, "digest": digest, "expires_at": expires_at}
            connection.execute(insert(password_resets), values)
            record(connection, AuditKind.RESET_ISSUED, user, actor)
            return expires_at

        return await self._database.write(operation)

    async def check_password_reset(self, digest: bytes) -> None:
        """
        Check a reset token, before the server spends time on hashing a password.

        Raises:
            ResetRefused: The token is unknown, used or expired.
        """
        await self._database.read(lambda connection: _user_of_reset(connection, digest))

    async def reset_password(
        self, digest: bytes, password_hash: str, *, actor: Actor
    ) -> None:
        """
        Set the password of the reset token's user, and end their logins.

        Raises:
            ResetRefused: The token is unknown, used or expired.
        """

        def operation(connection: Connection) -> None:
            user = _user_of_reset(connection, digest)
            if not _delete_reset(connection, user):  # another request used it first
                raise _reset_refused()
            change_password(connection, user, password_hash)
            record(connection, AuditKind.RESET_USED, user, actor)

        await self._database.write(operation)


def get_user(connection: Connection, user_id: str) -> User:
    """
    Return a user.

    Raises:
        UserNotFound: There is none.
    """
    query = select(*USER).where(users.c.id == user_id, users.c.deleted_at.is_(None))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UserNotFound(f"There is no user {user_id!r}.")
    return User(*row)


def _change(connection: Connection, user: User, **values: object) -> None:
    connection.execute(update(users).where(users.c.id == user.id).values(values))


def change_role(
    connection: Connection, user: User, role: UserRole, actor: Actor
) -> User:
    """Change a user's role, and return the user with it."""
    _change(connection, user, role=role)
    record(connection, AuditKind.ROLE_CHANGED, user, actor, role.value)
    if role is not UserRole.ADMIN:
        revoke_made_by(connection, user, actor)
    return get_user(connection, user.id)


def disable(connection: Connection, user: User, actor: Actor | None) -> None:
    """Disable a user, end their logins and invitations, and cancel their runs."""
    if user.disabled_at is None:
        _change(connection, user, disabled_at=utc_now())
    log_out_everywhere(connection, user)
    _delete_reset(connection, user)
    revoke_made_by(connection, user, actor)
    stop_runs(connection, user)


def stop_runs(connection: Connection, user: User) -> None:
    """Tell the processes that work on runs of `user` to stop."""
    some = unfinished_of(user.id)
    connection.execute(transition(RunEvent.REQUEST_CANCEL, *some, of_many=True))


def check_others(connection: Connection, user: User) -> None:
    """
    Check that `user` is not the last administrator who can log in.

    Raises:
        LastAdmin: They are.
    """
    query = (
        select(users.c.id)
        .where(
            users.c.role == UserRole.ADMIN,
            users.c.disabled_at.is_(None),
            users.c.password_hash.is_not(None)
            | exists().where(identities.c.user_id == users.c.id),
        )
        .order_by(users.c.id)
        # Locked in one order, so that two administrators cannot disable each other.
        .with_for_update()
    )
    if list(connection.scalars(query)) == [user.id]:
        raise LastAdmin(
            f"{user.username} is the last administrator who can log in. Nothing was "
            "changed. Make another user an administrator first."
        )


def _delete_reset(connection: Connection, user: User) -> bool:
    query = delete(password_resets).where(password_resets.c.user_id == user.id)
    return connection.execute(query).rowcount == 1


def _user_of_reset(connection: Connection, digest: bytes) -> User:
    query = (
        select(*USER)
        .join(password_resets, password_resets.c.user_id == users.c.id)
        .where(
            password_resets.c.digest == digest,
            password_resets.c.expires_at > utc_now(),
            users.c.disabled_at.is_(None),
        )
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise _reset_refused()
    return User(*row)


def _reset_refused() -> ResetRefused:
    return ResetRefused(
        "This reset token is wrong, used or too old. Nothing was changed. Ask an "
        "administrator for another one."
    )
