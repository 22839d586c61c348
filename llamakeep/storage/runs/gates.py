"""State of the circuit breakers, shared by all processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from llamakeep.domain import Run, RunEvent
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import gates, runs
from llamakeep.storage.runs.transitions import MINE, transition

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
_REQUEUE = transition(RunEvent.REQUEUE, *MINE, runs.c.handle.is_(None))


@dataclass(frozen=True, slots=True)
class Gate:
    """The state of a provider's circuit breaker."""

    provider: str
    now: datetime
    """When the row was read. Both times are the database's clock's."""
    closed_until: datetime | None = None
    """
    When a probe may be sent; `None` while requests may pass.

    Until then, no new request is sent. The process that sends the probe moves this time
    forward, so that no other one does.
    """
    failures: int = 0
    """Failures in a row."""
    error_code: str | None = None
    """The error that opened the breaker."""
    error_detail: str | None = None


class GateStorage:
    """Stores the state of circuit breakers."""

    _database: Database

    async def gates(self) -> Sequence[Gate]:
        """Return the breakers that ever changed."""
        return await self._database.look_up(
            lambda connection: [
                _gate(row) for row in connection.execute(_ALL, _AT_ONCE)
            ]
        )

    async def change_gate(
        self, provider: str, change: Callable[[Gate], Gate]
    ) -> tuple[Gate, Gate]:
        """
        Change a breaker's state under a row lock.

        Args:
            provider: The provider whose breaker it is.
            change: Returns the new state, or its argument for no change. It may be
                called again when the transaction is retried.

        Returns:
            The state before and after.
        """

        def operation(connection: Connection) -> tuple[Gate, Gate]:
            row = connection.execute(_ONE, {"name": provider, **_AT_ONCE}).one_or_none()
            if row is None:
                now = connection.execute(select(_NOW), _AT_ONCE).scalar_one()
                before = Gate(provider, now)
            else:
                before = _gate(row)
            after = change(before)
            if after != before:
                values = {column.name: getattr(after, column.name) for column in _STATE}
                connection.execute(
                    insert(gates).values(provider=provider, **values)
                    if row is None
                    else update(gates)
                    .where(gates.c.provider == provider)
                    .values(values)
                )
            return before, after

        return await self._database.write(operation)

    async def requeue(self, run: Run) -> bool:
        """
        Queue a run again whose provider certainly did not get its request.

        Returns:
            `False`, with nothing written, if the run has a newer attempt.
        """
        values = {"run_id": run.id, "fence": run.attempt}
        return await self._database.write(
            lambda connection: connection.execute(_REQUEUE, values).rowcount == 1
        )


def _gate(row: Row[Any]) -> Gate:
    return Gate(
        row.provider,
        row.now,
        row.closed_until,
        row.failures,
        row.error_code,
        row.error_detail,
    )
