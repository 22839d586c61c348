"""Which providers must not be asked for anything new for now, as all processes know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, null, select, text, update

from llamakeep.domain import Run, RunStatus
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import gates, is_one_of, runs

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
_REQUEUE = (
    update(runs)
    .where(
        runs.c.id == bindparam("run_id"),
        runs.c.attempt == bindparam("fence"),
        # It may be written already, where the outcome of a first try is not known.
        text(is_one_of({RunStatus.STARTING, RunStatus.QUEUED})),
        runs.c.handle.is_(None),
    )
    .values(status=RunStatus.QUEUED, started_at=null())
)


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands between prompts and one provider."""

    provider: str
    now: datetime
    """When this was so; this moment and the other are the database's clock's."""
    closed_until: datetime | None = None
    """
    Before that, nothing new is asked for. Afterwards one run is, as a probe: whoever
    sends it closes the gate for that time. `None` while the gate is open to all.
    """
    failures: int = 0
    """How many times in a row asking has failed."""
    error_code: str | None = None
    """Why it was closed."""
    error_detail: str | None = None


class GateStorage:
    """One method is one transaction."""

    _database: Database

    async def gates(self) -> Sequence[Gate]:
        """Return the gates that have ever been changed."""
        return await self._database.look_up(
            lambda connection: [
                _gate(row) for row in connection.execute(_ALL, _AT_ONCE)
            ]
        )

    async def change_gate(
        self, provider: str, change: Callable[[Gate], Gate]
    ) -> tuple[Gate, Gate]:
        """
        Let `change` decide about a gate that nobody else changes meanwhile.

        Args:
            provider: Whose gate.
            change: Returns what it is given if nothing is to be changed. It may be
                called again when the transaction has to be repeated.

        Returns:
            The gate as it was, and as it is now.
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
        Let a run wait again that its provider has certainly not heard of.

        Returns:
            `False` if it is not this attempt's any more; nothing was written.
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
