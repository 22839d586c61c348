"""
Deletion of users: disabled at once, then purged run by run.

A purging process holds a lease on the user, so that another one continues after a
crash.
"""

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from llamakeep.domain import Actor, AuditKind, NotificationStatus, User, utc_now
from llamakeep.storage.accounts.administration import (
    check_others,
    disable,
    get_user,
    stop_runs,
)
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.tables import (
    api_keys,
    identities,
    users,
    webhook_secrets,
)
from llamakeep.storage.accounts.users import USER
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import notifications, runs
from llamakeep.storage.history.filters import unfinished_of
from llamakeep.storage.runs.quotas import give_back

LEASE = 5.0
"""Seconds after which another process may continue a purge."""

_NOW = {"no_seconds": 0}
_UNSENT = (
    update(notifications)
    .where(
        notifications.c.next_try_at.is_not(None),
        exists().where(
            runs.c.id == notifications.c.run_id, runs.c.user_id == bindparam("whose")
        ),
    )
    .values(next_try_at=None, status=NotificationStatus.GIVEN_UP)
)


class DeletedUserStorage:
    """Deletes users."""

    _database: Database

    async def delete_user(self, user_id: str, *, actor: Actor) -> User:
        """
        Mark a user as deleted: disable them, free their name, cancel their runs.

        Their credentials are deleted; the rest is left to the purge.

        Raises:
            UserNotFound: There is none.
            LastAdmin: No administrator who can log in would be left.
        """

        def operation(connection: Connection) -> User:
            user = get_user(connection, user_id)
            check_others(connection, user)
            disable(connection, user, actor)
            connection.execute(_UNSENT, {"whose": user.id})
            for table in (api_keys, identities, webhook_secrets):
                connection.execute(delete(table).where(table.c.user_id == user.id))
            connection.execute(
                update(users)
                .where(users.c.id == user.id)
                # No username has a space, so this key collides with none.
                .values(
                    username_key=f" {user.id}", password_hash=None, deleted_at=utc_now()
                )
            )
            record(connection, AuditKind.USER_DELETED, user, actor)
            return user

        return await self._database.write(operation)

    async def claim_deleted_user(self, user: User | None = None) -> User | None:
        """Return a deleted user that no process purges, leased for `LEASE` seconds."""
        is_free = users.c.purge_until.is_(None) | (
            users.c.purge_until < seconds_from_now("no_seconds")
        )
        candidate = (
            select(users.c.id)
            .where(users.c.deleted_at.is_not(None), is_free)
            # Users whose purge failed before come last.
            .order_by(users.c.purge_until.asc().nulls_first(), users.c.deleted_at)
            .limit(1)
        )
        if user is not None:
            candidate = candidate.where(users.c.id == user.id)

        def operation(connection: Connection) -> User | None:
            chosen = candidate.with_for_update(skip_locked=True)
            query = (
                update(users)
                .where(users.c.id.in_(chosen))
                .values(purge_until=seconds_from_now("lease"))
                .returning(*USER)
            )
            row = connection.execute(query, _NOW | {"lease": LEASE}).one_or_none()
            return None if row is None else User(*row)

        # A read first: usually there is none, and then no write is needed.
        if await self._database.look_up(lambda c: c.scalar(candidate, _NOW)) is None:
            return None
        return await self._database.write(operation)

    async def hold_deleted_user(self, user: User) -> None:
        """Renew the lease on a deleted user."""
        query = (
            update(users)
            .where(users.c.id == user.id)
            .values(purge_until=seconds_from_now("lease"))
        )
        await self._database.write(lambda c: c.execute(query, {"lease": LEASE}).close())

    async def stop_runs_of(self, user: User) -> None:
        """Request the cancellation of a user's runs."""
        await self._database.write(lambda c: stop_runs(c, user))

    async def is_purged(self, user: User) -> bool:
        """Return whether nothing is left of a user."""
        query = select(users.c.id).where(users.c.id == user.id)
        return await self._database.read(lambda c: c.scalar(query)) is None

    async def finish_purge(self, user: User) -> None:
        """
        Delete the row of a deleted user whose finished runs are deleted.

        Unfinished runs that never stopped are deleted too, and their reservations
        freed.
        """
        is_theirs = users.c.id == user.id, users.c.deleted_at.is_not(None)
        # A transaction that is about to store a run waits for this lock, and then
        # fails.
        locked = select(users.c.id).where(*is_theirs).with_for_update()
        # A transaction that closes one of these runs comes before, or finds none.
        unfinished = (
            select(runs.c.id, runs.c.reservation)
            .where(*unfinished_of(user.id))
            .order_by(runs.c.id)
            .with_for_update()
        )

        def operation(connection: Connection) -> None:
            if connection.scalar(locked) is None:  # another process purged the user
                return
            for _, reservation in connection.execute(unfinished).all():
                if reservation is not None:
                    give_back(connection, reservation)
            connection.execute(delete(users).where(*is_theirs))
            record(connection, AuditKind.USER_PURGED, user, Actor())

        await self._database.write(operation)
