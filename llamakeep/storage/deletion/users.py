"""
Users who are deleted: gone for everybody at once, and then for good, run by run.

Whoever is at it holds a lease: after a crash another process, or the next one, goes on.
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
from llamakeep.storage.accounts.users import USER
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import (
    api_keys,
    notifications,
    runs,
    users,
    webhook_secrets,
)
from llamakeep.storage.history.filters import goes_on
from llamakeep.storage.runs.quotas import give_back

LEASE = 5.0
"""Seconds after which somebody else goes on with what nobody was heard of."""

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
    """One method is one transaction."""

    _database: Database

    async def delete_user(self, user_id: str, *, actor: Actor) -> User:
        """
        Let a user be gone for everybody, and tell their runs to stop.

        Their name is free, and nothing lets them in. What else is theirs is left to
        `purge`.

        Raises:
            UserNotFound: There is none.
            LastAdmin: Nobody would be left who can manage users.
        """

        def operation(connection: Connection) -> User:
            user = get_user(connection, user_id)
            check_others(connection, user)
            disable(connection, user)
            connection.execute(_UNSENT, {"whose": user.id})
            for table in (api_keys, webhook_secrets):
                connection.execute(delete(table).where(table.c.user_id == user.id))
            connection.execute(
                update(users)
                .where(users.c.id == user.id)
                # No name has a space.
                .values(
                    username_key=f" {user.id}", password_hash=None, deleted_at=utc_now()
                )
            )
            record(connection, AuditKind.USER_DELETED, user, actor)
            return user

        return await self._database.write(operation)

    async def claim_deleted_user(self, user: User | None = None) -> User | None:
        """
        Return a deleted user whom nobody is purging, and hold them for `LEASE`.

        Args:
            user: Whom; `None` for anybody.
        """
        is_free = users.c.purge_until.is_(None) | (
            users.c.purge_until < seconds_from_now("no_seconds")
        )
        candidate = (
            select(users.c.id)
            .where(users.c.deleted_at.is_not(None), is_free)
            # Whoever makes trouble comes last.
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

        # Most of the time there is nobody, which is no reason to write.
        if await self._database.read(lambda c: c.scalar(candidate, _NOW)) is None:
            return None
        return await self._database.write(operation)

    async def hold_deleted_user(self, user: User) -> None:
        """Hold a deleted user for another `LEASE`."""
        query = (
            update(users)
            .where(users.c.id == user.id)
            .values(purge_until=seconds_from_now("lease"))
        )
        await self._database.write(lambda c: c.execute(query, {"lease": LEASE}).close())

    async def stop_runs_of(self, user: User) -> None:
        """Tell the processes that work on runs of a user to stop."""
        await self._database.write(lambda c: stop_runs(c, user))

    async def is_purged(self, user: User) -> bool:
        """Return whether nothing is left of a user."""
        query = select(users.c.id).where(users.c.id == user.id)
        return await self._database.read(lambda c: c.scalar(query)) is None

    async def finish_purge(self, user: User) -> None:
        """
        Forget a deleted user, whose finished runs are gone and out of the files.

        Runs that never stopped go with them, and what was set aside for those is free.
        """
        is_theirs = users.c.id == user.id, users.c.deleted_at.is_not(None)
        # Who is about to keep one more waits for this, and is refused then.
        locked = select(users.c.id).where(*is_theirs).with_for_update()
        # Whoever closes one of them does so before, or finds nothing to close.
        unfinished = (
            select(runs.c.id, runs.c.reservation)
            .where(*goes_on(user.id))
            .order_by(runs.c.id)
            .with_for_update()
        )

        def operation(connection: Connection) -> None:
            if connection.scalar(locked) is None:  # somebody else was faster
                return
            for _, reservation in connection.execute(unfinished).all():
                if reservation is not None:
                    give_back(connection, reservation)
            connection.execute(delete(users).where(*is_theirs))
            record(connection, AuditKind.USER_PURGED, user, Actor())

        await self._database.write(operation)
