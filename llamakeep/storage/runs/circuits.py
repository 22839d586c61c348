"""State of the circuit breakers, shared by all processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import gates

_NOW = seconds_from_now("no_seconds").label("now")
_AT_ONCE = {"no_seconds": 0}
_STATE = (
    gates.c.closed_until,
    gates.c.failures,
    gates.c.error_code,
    gates.c.error_detail,
)
_ALL = select(gates.c.provider, _NOW, *_STATE)
_ONE = _ALL.where(gates.c.provider == bindparam("name")).with_for_update()


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state of a provider's circuit breaker."""

    provider: str
    now: datetime
    """When this was so; this moment and the other are the database's clock's."""
    open_until: datetime | None = None
    """
    Before that, nothing new is asked for. Afterwards one run is sent as a probe: for
    its time it stays open for all others. `None` while it is closed.
    """
    failures: int = 0
    """Failures in a row."""
    error_code: str | None = None
    """Why it was opened."""
    error_detail: str | None = None


class CircuitStorage:
    """One method is one transaction."""

    _database: Database

    async def circuits(self) -> Sequence[Circuit]:
        """Return those that have ever been changed."""
        return await self._database.look_up(
            lambda connection: [
                _circuit(row) for row in connection.execute(_ALL, _AT_ONCE)
            ]
        )

    async def change_circuit(
        self, provider: str, change: Callable[[Circuit], Circuit]
    ) -> tuple[Circuit, Circuit]:
        """
        Let `change` decide about one that no other process changes meanwhile.

        Where nothing is to be changed, `change` returns what it is given. It is called
        again when the transaction has to be repeated.

        Returns:
            It as it was, and as it is now.
        """

        def operation(connection: Connection) -> tuple[Circuit, Circuit]:
            row = connection.execute(_ONE, {"name": provider, **_AT_ONCE}).one_or_none()
            if row is None:
                now = connection.execute(select(_NOW), _AT_ONCE).scalar_one()
                before = Circuit(provider, now)
            else:
                before = _circuit(row)
            after = change(before)
            if after != before:
                values = {
                    "closed_until": after.open_until,
                    "failures": after.failures,
                    "error_code": after.error_code,
                    "error_detail": after.error_detail,
                }
                connection.execute(
                    insert(gates).values(provider=provider, **values)
                    if row is None
                    else update(gates)
                    .where(gates.c.provider == provider)
                    .values(values)
                )
            return before, after

        return await self._database.write(operation)


def _circuit(row: Row[Any]) -> Circuit:
    return Circuit(
        row.provider,
        row.now,
        row.closed_until,
        row.failures,
        row.error_code,
        row.error_detail,
    )
