"""Secrets that sign users' webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, literal, select, update

from llamakeep.domain import Actor, AuditKind, User, utc_now
from llamakeep.errors import Unauthenticated
from llamakeep.storage.accounts.audit import record
from llamakeep.storage.accounts.tables import users, webhook_secrets
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database

SECRETS = (
    webhook_secrets.c.secret,
    webhook_secrets.c.previous,
    webhook_secrets.c.previous_until,
)
"""The columns of `WebhookSecrets`, in their order."""


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """The secrets that sign a user's webhooks."""

    secret: str
    previous: str | None = None
    previous_until: datetime | None = None
    """When the previous secret stops signing."""

    def now(self) -> Sequence[str]:
        """Return the secrets in use, newest first."""
        if self.previous is None or self.previous_until is None:
            return [self.secret]
        if self.previous_until < utc_now():
            return [self.secret]
        return [self.secret, self.previous]


class WebhookSecretStorage:
    """Stores webhook secrets."""

    _database: Database

    async def webhook_secrets(self, user: User, *, fresh: str) -> WebhookSecrets:
        """
        Return a user's webhook secrets; store `fresh` if they have none.

        Raises:
            Unauthenticated: The user was deleted meanwhile.
        """
        known = await self._database.read(lambda connection: _find(connection, user))
        if known is not None:
            return known
        return await self._database.write(lambda c: _make(c, user, fresh))

    async def rotate_webhook_secret(
        self, user: User, *, fresh: str, overlap: timedelta, actor: Actor
    ) -> WebhookSecrets:
        """
        Replace a user's webhook secret; the previous one signs as well for `overlap`.

        Raises:
            Unauthenticated: The user was deleted meanwhile.
        """

        def operation(connection: Connection) -> WebhookSecrets:
            known = _make(connection, user, fresh)
            if known.secret == fresh:  # there was none
                return known
            secrets = WebhookSecrets(fresh, known.secret, utc_now() + overlap)
            connection.execute(
                update(webhook_secrets)
                .where(webhook_secrets.c.user_id == user.id)
                .values(
                    secret=secrets.secret,
                    previous=secrets.previous,
                    previous_until=secrets.previous_until,
                )
            )
            record(connection, AuditKind.WEBHOOK_SECRET_ROTATED, user, actor)
            return secrets

        return await self._database.write(operation)


def _find(
    connection: Connection, user: User, *, for_update: bool = False
) -> WebhookSecrets | None:
    query = select(*SECRETS).where(webhook_secrets.c.user_id == user.id)
    if for_update:
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else WebhookSecrets(*row)


def _make(connection: Connection, user: User, fresh: str) -> WebhookSecrets:
    """Return a user's secrets under a row lock, created if need be."""
    whose = select(users.c.id, literal(fresh)).where(users.c.id == user.id)
    add = colliding_insert(connection, webhook_secrets).from_select(
        ["user_id", "secret"], whose
    )
    connection.execute(add.on_conflict_do_nothing())
    made = _find(connection, user, for_update=True)
    if made is None:
        raise Unauthenticated("This account was deleted. Nothing was stored.")
    return made
