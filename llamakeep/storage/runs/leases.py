"""Who holds runs: look them up, and take over those that no process works on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    not_,
    or_,
    select,
)

from llamakeep.domain import Effect, Run, RunEvent
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import nodes, runs
from llamakeep.storage.runs.rows import READ, to_run
from llamakeep.storage.runs.transitions import has_effect, transition

HELD = (
    select(runs.c.id, runs.c.attempt, runs.c.cancel_requested)
    .where(runs.c.owner == bindparam("node"), IS_UNFINISHED)
    .order_by(runs.c.id)
)
"""The runs that a node holds, as long as it is alive."""

# Only a second attempt shows a text that it need not write, an earlier one's.
_HAS_HIDDEN_TEXT = and_(
    has_effect(RunEvent.TAKE_OVER, Effect.MAY_HIDE_TEXT), runs.c.attempt > 1
)
_IS_HELD = exists().where(nodes.c.id == runs.c.owner, not_(nodes.c.is_dead))


@dataclass(frozen=True, slots=True)
class Held:
    """A run that a node holds."""

    run_id: str
    attempt: int
    cancel_requested: bool


class LeaseStorage:
    """Stores which node holds a run."""

    _database: Database

    async def held_runs(self, node: str, run_id: str | None = None) -> Sequence[Held]:
        """Return those unfinished runs, or that one, that `node` holds if it lives."""
        query = HELD if run_id is None else HELD.where(runs.c.id == run_id)
        # A transaction would be two more round trips to a shared database; one owner's
        # is read on the event loop by `look_up`, and these may be many.
        is_alone = self._database.is_sole_owner
        read = self._database.read if is_alone else self._database.look_up
        return await read(
            lambda connection: [
                Held(*row) for row in connection.execute(query, {"node": node})
            ]
        )

    async def take_over(
        self,
        node: str,
        *,
        most: int | None = None,
        only_canceled: bool = False,
        after_user: str = "",
        working_on: Collection[str] | None = None,
    ) -> Sequence[Run]:
        """
        Have `node` hold unfinished runs that no process works on.

        These are the runs of dead nodes, and those of `node` itself that `working_on`
        does not name. Users take turns, and each user's oldest run comes first.

        Args:
            node: The node that takes the runs over.
            most: The largest number of runs; those to be canceled come first.
            only_canceled: Whether to take over only runs to be canceled.
            after_user: The user whose turn was the last; the next higher id begins.
            working_on: The ids of the runs that `node` works on, also later while this
                waits for the database; by default, all of its runs are.

        Returns:
            The runs, with their new attempt, which begins with no text; the text is
            what an earlier attempt stored.
        """
        is_left = _is_left(node, with_own=working_on is not None)
        candidates = _candidates(is_left, working_on or ())
        if only_canceled:
            candidates = candidates.where(runs.c.cancel_requested)
        if not await self._database.look_up(
            lambda connection: connection.execute(candidates.limit(1)).first()
        ):
            return []
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
        locked = candidates.with_for_update(of=runs, skip_locked=True)

        def operation(connection: Connection) -> Sequence[Run]:
            # `node` may have begun to work on one of them since.
            left = [
                run_id
                for run_id in connection.scalars(locked)
                if working_on is None or run_id not in working_on
            ]
            if not left:
                return []
            # Asked again, now that they are locked: a node that was declared dead may
            # have joined again.
            query = (
                transition(RunEvent.TAKE_OVER, runs.c.id.in_(left), is_left)
                .values(
                    owner=node,
                    common_length=case(
                        (_HAS_HIDDEN_TEXT, 0), else_=runs.c.common_length
                    ),
                )
                .returning(*READ)
            )
            taken = [to_run(row) for row in connection.execute(query)]
            return sorted(taken, key=lambda run: run.id)

        return await self._database.write(operation)


def _is_left(node: str, *, with_own: bool) -> ColumnElement[bool]:
    is_left = not_(_IS_HELD)
    return or_(is_left, runs.c.owner == node) if with_own else is_left


def _candidates(
    is_left: ColumnElement[bool], working_on: Collection[str]
) -> Select[str]:
    return select(runs.c.id).where(
        IS_UNFINISHED, is_left, runs.c.id.not_in(sorted(working_on))
    )
