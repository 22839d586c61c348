"""
Outgoing webhooks about runs, and their retries.

The end of a run writes nothing here: a webhook about it is due as soon as the run's
status is final.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from llamakeep.domain import (
    UNFINISHED,
    Notification,
    NotificationEvent,
    NotificationStatus,
    Run,
    RunStatus,
)
from llamakeep.storage.accounts.tables import webhook_secrets
from llamakeep.storage.accounts.webhook_secrets import SECRETS, WebhookSecrets
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import notifications, runs
from llamakeep.storage.runs.rows import NAMES, READ, to_run

_NOTIFICATION = tuple(notifications.c[each.name] for each in fields(Notification))
LONGEST_PAUSE = 7 * 3600
"""
The longest time between two tries, in seconds.

A next try further away was computed by a clock that was ahead; it counts as due.
"""

_NOW = {"no_seconds": 0, "longest_pause": LONGEST_PAUSE}
_LONGEST_ERROR = 256

MOST_CANDIDATES = 500
"""How many of the due webhooks are considered at a time."""

_ADD = insert(notifications).values(next_try_at=seconds_from_now("no_seconds"))
_IS_TIME = or_(
    notifications.c.next_try_at <= seconds_from_now("no_seconds"),
    notifications.c.next_try_at > seconds_from_now("longest_pause"),
)
_IS_DUE = and_(
    notifications.c.next_try_at.is_not(None),
    _IS_TIME,
    or_(
        notifications.c.event == NotificationEvent.START,
        runs.c.status.in_(sorted(set(RunStatus) - UNFINISHED)),
    ),
)
_OF_RUN = runs.c.id == notifications.c.run_id
_IS_ANY_DUE = select(exists().where(_OF_RUN, _IS_DUE))
# The bound keeps a backlog for one dead host from being read whole. The longest waiting
# come first, in the order of the index.
_CANDIDATES = (
    select(
        notifications.c.id,
        notifications.c.next_try_at,
        notifications.c.host,
        runs.c.user_id,
    )
    .join(runs, _OF_RUN)
    .where(
        _IS_DUE,
        notifications.c.host.not_in(bindparam("busy_hosts", expanding=True)),
        runs.c.user_id.not_in(bindparam("busy_users", expanding=True)),
    )
    .order_by(notifications.c.next_try_at)
    .limit(MOST_CANDIDATES)
    .subquery()
)
_IN_ORDER = (_CANDIDATES.c.next_try_at, _CANDIDATES.c.id)
_PLACES = select(
    _CANDIDATES.c.id,
    func.row_number()
    .over(partition_by=_CANDIDATES.c.host, order_by=_IN_ORDER)
    .label("place_at_host"),
    func.row_number()
    .over(partition_by=_CANDIDATES.c.user_id, order_by=_IN_ORDER)
    .label("place_of_user"),
).subquery()
_CHOSEN = (
    select(_PLACES.c.id)
    .where(_PLACES.c.place_at_host == 1, _PLACES.c.place_of_user == 1)
    .order_by(_PLACES.c.id)
    .limit(bindparam("most"))
)
_CLAIM = (
    update(notifications)
    .where(
        notifications.c.id.in_(_CHOSEN),
        _IS_TIME,  # another process may have claimed it meanwhile
    )
    .values(
        tries=notifications.c.tries + 1,
        next_try_at=seconds_from_now("lease"),
    )
    .returning(notifications.c.id)
)
_CLAIMED = (
    select(
        *READ,
        *_NOTIFICATION,
        *SECRETS,
    )
    .join(notifications, _OF_RUN)
    .join(webhook_secrets, webhook_secrets.c.user_id == runs.c.user_id)
    .where(notifications.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(notifications.c.id)
)
_SETTLE = (
    update(notifications)
    .where(
        notifications.c.id == bindparam("notification_id"),
        notifications.c.tries == bindparam("fence"),
    )
    .values(status=bindparam("new_status"), last_error=bindparam("new_error"))
)


@dataclass(frozen=True, slots=True)
class Due:
    """A webhook to send now, claimed by the caller."""

    notification: Notification
    run: Run
    secrets: WebhookSecrets


class NotificationStorage:
    """Stores outgoing webhooks."""

    _database: Database

    async def is_any_notification_due(self) -> bool:
        """Return whether any webhook is due."""
        return await self._database.read(
            lambda connection: bool(connection.scalar(_IS_ANY_DUE, _NOW))
        )

    async def claim_notifications(
        self,
        *,
        most: int,
        busy_hosts: Collection[str] = (),
        busy_users: Collection[str] = (),
        lease: float,
    ) -> Sequence[Due]:
        """
        Claim webhooks that are due, and count a try for each.

        At most one for each host and for each user, the one that waits longest, so that
        a backlog of one delays no other. If any is due, at least one is returned. One
        that is not settled is due again after `lease` seconds.
        """
        values = {
            "most": most,
            "busy_hosts": sorted(busy_hosts),
            "busy_users": sorted(busy_users),
            "lease": lease,
            **_NOW,
        }

        def operation(connection: Connection) -> Sequence[Due]:
            ids = list(connection.scalars(_CLAIM, values))
            found = []
            for row in connection.execute(_CLAIMED, {"ids": ids}):
                facts = row[len(NAMES) :]
                notification = Notification(
                    **dict(zip((c.name for c in _NOTIFICATION), facts, strict=False))
                )
                secrets = WebhookSecrets(*facts[len(_NOTIFICATION) :])
                found.append(Due(notification, to_run(row), secrets))
            return found

        return await self._database.write(operation)

    async def settle_notification(
        self,
        claimed: Notification,
        status: NotificationStatus,
        *,
        error: str | None = None,
        pause: float | None = None,
    ) -> bool:
        """
        Store the outcome of a try.

        The next try is after `pause` seconds; without, there is none.

        Returns:
            `False`, with nothing written, if it was deleted or claimed again.
        """
        values = {
            "notification_id": claimed.id,
            "fence": claimed.tries,
            "new_status": status,
            "new_error": error and error[:_LONGEST_ERROR],
            "pause": pause,
        }
        again = null() if pause is None else seconds_from_now("pause")
        query = _SETTLE.values(next_try_at=again)
        return await self._database.write(
            lambda connection: connection.execute(query, values).rowcount == 1
        )

    async def find_notification(self, run: Run) -> Notification | None:
        """Return the last webhook to be sent about a run, if there is one."""
        query = (
            select(*_NOTIFICATION)
            .where(notifications.c.run_id == run.id)
            .order_by(notifications.c.event == NotificationEvent.START)
            .limit(1)
        )

        def operation(connection: Connection) -> Notification | None:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else Notification(**row)

        return await self._database.look_up(operation)


def add_notifications(connection: Connection, run: Run) -> None:
    """Store a new run's webhooks, in the transaction that stores the run."""
    for each in run.notifications:
        values = {column.name: getattr(each, column.name) for column in _NOTIFICATION}
        del values["next_try_at"]
        connection.execute(_ADD, {**values, "run_id": run.id, "no_seconds": 0})
