"""Leases of runs: renew them, release them, take over those that expired."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
)

from llamakeep.domain import Effect, Run, RunEvent
from llamakeep.storage.database.columns import seconds_from_now
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs
from llamakeep.storage.runs.rows import READ, to_run
from llamakeep.storage.runs.transitions import has_effect, transition

_RENEW = transition(
    RunEvent.RENEW,
    runs.c.id.in_(bindparam("run_ids", expanding=True)),
    runs.c.owner == bindparam("node"),
    of_many=True,
).returning(runs.c.id, runs.c.attempt, runs.c.cancel_requested)
_RELEASE = transition(
    RunEvent.RELEASE,
    runs.c.owner.in_(bindparam("nodes", expanding=True)),
    of_many=True,
)


@dataclass(frozen=True, slots=True)
class Held:
    """A run whose lease was renewed."""

    run_id: str
    attempt: int
    cancel_requested: bool


class LeaseStorage:
    """Stores leases."""

    _database: Database

    async def renew(
        self, node: str, run_ids: Collection[str], *, lease: float
    ) -> Sequence[Held]:
        """
        Renew the leases of those runs that `node` still holds, and return these runs.

        The node's other runs are left to expire: one that was stored although the node
        got an error is taken over after its lease.
        """
        values = {"node": node, "run_ids": sorted(run_ids), "lease": lease}
        return await self._database.write(
            lambda connection: [
                Held(*row) for row in connection.execute(_RENEW, values)
            ]
        )

    async def release_leases(self, nodes: Collection[str]) -> None:
        """Let the runs of `nodes` be taken over at once: their processes are dead."""
        values = {"nodes": sorted(nodes), "no_seconds": 0}
        await self._database.write(
            lambda connection: connection.execute(_RELEASE, values).close()
        )

    async def take_over(
        self,
        node: str,
        *,
        lease: float,
        most: int | None = None,
        only_canceled: bool = False,
        after_user: str = "",
        working_on: Collection[str] | None = None,
    ) -> Sequence[Run]:
        """
        Lease to `node` unfinished runs that no process works on.

        Users take turns, and each user's oldest run comes first.

        On a database with one owner process, these are all runs of other nodes and
        those of its own that `working_on` does not name. On a shared database, they are
        runs whose lease has expired by the database's clock: `node` has to renew its
        own first.

        Args:
            node: The node that takes the runs over.
            lease: Seconds.
            most: The largest number of runs; those to be canceled come first.
            only_canceled: Whether to take over only runs to be canceled.
            after_user: The user whose turn was the last; the next higher id begins.
            working_on: The ids of the runs that `node` works on, which are left out; by
                default, all of its runs are.

        Returns:
            The runs, with their new attempt, which begins with no text; the text is
            what an earlier attempt stored.
        """
        if self._database.is_sole_owner and working_on is not None:
            found = self._left(node, working_on).limit(1)
            if not await self._database.read(
                lambda connection: connection.execute(found).first()
            ):
                return []
        # Built a second time: lease times are compared when it is executed.
        candidates = self._left(node, working_on)
        if only_canceled:
            candidates = candidates.where(runs.c.cancel_requested)
        if most is not None:
            turn = func.row_number().over(
                partition_by=runs.c.user_id, order_by=runs.c.id
            )
            turns = candidates.add_columns(turn.label("turn")).subquery("turns")
            candidates = (
                candidates.join(turns, turns.c.id == runs.c.id)
                .order_by(
                    runs.c.cancel_requested.desc(),
                    turns.c.turn,
                    case((runs.c.user_id > after_user, 0), else_=1),
                    runs.c.user_id,
                )
                .limit(most)
            )
        # A CTE: PostgreSQL may evaluate a subquery several times, and lock other rows
        # each time.
        left = candidates.with_for_update(of=runs, skip_locked=True).cte("left_runs")
        # Only a second attempt shows a text that it need not write, an earlier one's.
        has_hidden_text = and_(
            has_effect(RunEvent.TAKE_OVER, Effect.MAY_HIDE_TEXT), runs.c.attempt > 1
        )
        query = (
            transition(RunEvent.TAKE_OVER, runs.c.id.in_(select(left.c.id)))
            .values(
                owner=node,
                common_length=case((has_hidden_text, 0), else_=runs.c.common_length),
            )
            .returning(*READ)
        )
        values = {"lease": lease, "no_seconds": 0}

        def operation(connection: Connection) -> Sequence[Run]:
            taken = [to_run(row) for row in connection.execute(query, values)]
            return sorted(taken, key=lambda run: run.id)

        return await self._database.write(operation)

    def _left(self, node: str, working_on: Collection[str] | None) -> Select[str]:
        if not self._database.is_sole_owner:
            is_left = runs.c.lease_until < seconds_from_now("no_seconds")
            if working_on is not None:
                ours = and_(runs.c.owner == node, runs.c.id.in_(sorted(working_on)))
                is_left = and_(is_left, not_(ours))
        elif working_on is not None:
            is_left = runs.c.id.not_in(sorted(working_on))
        else:
            is_left = or_(runs.c.owner.is_(None), runs.c.owner != node)
        return select(runs.c.id).where(IS_UNFINISHED, is_left)
