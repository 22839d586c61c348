"""Retention: how long runs are kept, and which are older."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    bindparam,
    case,
    func,
    or_,
    select,
    tuple_,
    update,
)

from llamakeep.domain import Actor, AuditKind, User, first_id, utc_now
from llamakeep.errors import InvalidRequest, UserNotFound
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.accounts.users import USER
from llamakeep.storage.database.conditions import IS_FINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs

_place = tuple_(runs.c.user_id, runs.c.id)
_OLD = (
    select(runs.c.id)
    .where(
        # With `user_id = …` and an order by `id` alone, PostgreSQL may scan the runs of
        # all users, from the oldest on, each time.
        _place > tuple_(bindparam("user_id", type_=String()), ""),
        _place
        < tuple_(
            bindparam("user_id", type_=String()), bindparam("before", type_=String())
        ),
        IS_FINISHED,
    )
    .order_by(runs.c.user_id, runs.c.id)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a user's runs are kept, in days; `None` is unlimited."""

    allowed: int | None
    """Set by an administrator."""
    own: int | None
    """Chosen by the user; it counts if it is less than what they may have."""

    def is_own(self, longest: int | None) -> bool:
        """Return whether the user's choice counts; `longest` is the setting."""
        allowed = longest if self.allowed is None else self.allowed
        return self.own is not None and (allowed is None or self.own < allowed)


class RetentionStorage:
    """Stores retention."""

    _database: Database

    async def retentions(self, user_ids: Collection[str]) -> Mapping[str, Retention]:
        """Return what is set for users, by id."""
        query = select(
            users.c.id, users.c.retention_days, users.c.own_retention_days
        ).where(users.c.id.in_(user_ids))
        return await self._database.read(
            lambda connection: {
                row.id: Retention(row.retention_days, row.own_retention_days)
                for row in connection.execute(query)
            }
        )

    async def set_retention(
        self, user_id: str, days: int | None, *, actor: Actor
    ) -> None:
        """
        Set a user's retention; `None` leaves it to the settings.

        Raises:
            UserNotFound: There is no such user.
        """
        query = (
            update(users)
            .where(users.c.id == user_id)
            .values(retention_days=days)
            .returning(*USER)
        )

        def operation(connection: Connection) -> None:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise UserNotFound(f"There is no user {user_id!r}.")
            kind = AuditKind.RETENTION_CHANGED
            record(connection, kind, User(*row), actor, _in_words(days))

        await self._database.write(operation)

    async def set_own_retention(
        self, user: User, days: int | None, *, longest: int | None, actor: Actor
    ) -> None:
        """
        Set the retention that a user chose for themselves.

        The settings allow `longest`. Without `days`, administrators decide.

        Raises:
            InvalidRequest: It is longer than the user may have.
        """

        def operation(connection: Connection) -> None:
            allowed = connection.scalar(
                select(users.c.retention_days).where(users.c.id == user.id)
            )
            most = longest if allowed is None else allowed
            if days is not None and most is not None and days > most:
                raise InvalidRequest.of(
                    "retention_days",
                    f"Runs are kept for {most} days here: choose less, or `null`.",
                )
            connection.execute(
                update(users)
                .where(users.c.id == user.id)
                .values(own_retention_days=days)
            )
            kind = AuditKind.RETENTION_CHANGED
            record(connection, kind, user, actor, f"{_in_words(days)}, by themselves")

        await self._database.write(operation)

    async def set_keeping(self, user_id: str, *, keeps: bool, actor: Actor) -> User:
        """
        Set whether the texts of a user's runs are kept, from the next prompt on.

        Raises:
            UserNotFound: There is no such user.
        """
        query = (
            update(users)
            .where(users.c.id == user_id, users.c.deleted_at.is_(None))
            .values(keeps=keeps)
            .returning(*USER)
        )

        def operation(connection: Connection) -> User:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise UserNotFound(f"There is no user {user_id!r}.")
            user, said = User(*row), "texts" if keeps else "no texts"
            record(connection, AuditKind.KEEPING_CHANGED, user, actor, said)
            return user

        return await self._database.write(operation)

    async def shortest_retention(self, longest: int | None) -> int | None:
        """Return the shortest retention of any user, in days; by default, `longest`."""
        query = select(func.min(_days(longest))).where(users.c.deleted_at.is_(None))
        return await self._database.read(lambda connection: connection.scalar(query))

    async def count_all_runs(self) -> int:
        """Return the number of runs of all users."""
        query = select(func.count()).select_from(runs)
        return await self._database.read(
            lambda connection: connection.scalar(query) or 0
        )

    async def users_with_old_runs(
        self, longest: int | None, *, now: datetime | None = None
    ) -> Sequence[tuple[User, str]]:
        """Return users with runs past retention, and the id below which they are."""
        days = _days(longest)
        query = select(*USER, days).where(
            days.is_not(None), users.c.deleted_at.is_(None)
        )
        until = now or utc_now()

        def operation(connection: Connection) -> Sequence[tuple[User, str]]:
            found = []
            for *facts, each in connection.execute(query).all():
                user = User(*facts)
                before = first_id("run_", until - timedelta(days=each))
                values = {"user_id": user.id, "before": before}
                if connection.scalar(_OLD, values) is not None:
                    found.append((user, before))
            return found

        return await self._database.read(operation)

    async def note_retention(self, count: int) -> None:
        """Record in the audit log that runs were deleted because of their age."""
        await self._database.write(
            lambda connection: record(
                connection, AuditKind.RETENTION_APPLIED, None, Actor(), f"{count} runs"
            )
        )


def _days(longest: int | None) -> ColumnElement[int | None]:
    """Return a user's retention in days: the least that is set."""
    allowed: ColumnElement[int | None] = users.c.retention_days
    if longest is not None:
        allowed = func.coalesce(allowed, longest)
    own = users.c.own_retention_days
    return case((or_(allowed.is_(None), own < allowed), own), else_=allowed)


def _in_words(days: int | None) -> str:
    return "no days of their own" if days is None else f"{days} days"
