"""Ids of received webhooks, so that each is processed once."""

from datetime import timedelta

from sqlalchemy import Connection, delete

from llamakeep.domain import utc_now
from llamakeep.storage.database.clock import is_plausible
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import deliveries

KEPT = timedelta(hours=1)
"""How long an id is stored: longer than the webhook's signature is accepted."""


class DeliveryStorage:
    """Stores the ids of received webhooks."""

    _database: Database

    async def add_delivery(self, delivery_id: str) -> bool:
        """Store a webhook's id, delete old ones, and return whether it is new."""
        now = utc_now()
        values = {"id": delivery_id, "received_at": now}

        def operation(connection: Connection) -> bool:
            add = colliding_insert(connection, deliveries).values(values)
            connection.execute(
                delete(deliveries).where(
                    deliveries.c.received_at < now - KEPT, is_plausible(now)
                )
            )
            return connection.execute(add.on_conflict_do_nothing()).rowcount == 1

        return await self._database.write(operation)
