"""The end of a run: its final state, and the erasure of texts that are not kept."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete
from sqlalchemy.exc import IntegrityError

from llamakeep.domain import Run, RunStatus
from llamakeep.domain.runs import without_texts
from llamakeep.domain.states import ENDS, ForbiddenTransition
from llamakeep.errors import OutcomeUnknown
from llamakeep.storage.database.port import Database, Operation
from llamakeep.storage.database.prepared import Prepared
from llamakeep.storage.database.tables import run_images
from llamakeep.storage.history.indexing import WORDS, indexed_runs, words_to_index
from llamakeep.storage.runs import outcomes
from llamakeep.storage.runs.parts import stored
from llamakeep.storage.runs.quotas import settle
from llamakeep.storage.runs.rows import to_row
from llamakeep.storage.runs.transitions import MINE, transition

_WRITTEN = (
    "response",
    "output",
    "common_length",
    "handle",
    "resolved_model",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "cost",
    "cached_tokens",
    "reasoning_tokens",
    "error_code",
    "error_detail",
    "started_at",
    "first_word_after",
    "finished_at",
)
_ERASED = ("prompt", "system_prompt", "earlier", "last_message", "parameters")
"""What was written when the run was accepted, and has text."""

_FORGET_IMAGES = delete(run_images).where(run_images.c.run_id == bindparam("run_id"))
"""A trigger deletes those that no other run shows."""


def written(names: Iterable[str] = _WRITTEN) -> Mapping[str, Any]:
    """Return what an UPDATE sets at the end of a run."""
    return {name: bindparam(f"new_{name}") for name in names}


def _finishing(names: Iterable[str]) -> Mapping[RunStatus, Prepared]:
    values = written(names)
    return {
        status: Prepared(
            transition(event, *MINE).values(values),
            on_postgresql=transition(event, *MINE, table=indexed_runs)
            .values(values)
            .values(search_words=WORDS),
        )
        for event, status in ENDS.items()
    }


_FINISH = _finishing(_WRITTEN)
_FINISH_UNKEPT = _finishing((*_WRITTEN, *_ERASED))


class FinishStorage:
    """Stores the ends of runs."""

    _database: Database

    async def finish(self, run: Run) -> bool:
        """
        Store a run's final state; if its texts are not kept, erase them.

        Returns:
            `False` if it was no longer this attempt's to close; nothing was written.

        Raises:
            ForbiddenTransition: Its status is none in which runs end.
        """
        statement = (_FINISH if run.store else _FINISH_UNKEPT).get(run.status)
        if statement is None:
            raise ForbiddenTransition(f"No run ends as {run.status}.")
        whole, close = run, settle
        if not run.store:
            run, close = without_texts(run), _settle_unkept
        values = {
            "run_id": run.id,
            "fence": run.attempt,
            "new_status": run.status,
            "new_response": run.response,
            "new_output": stored(run.output) if run.output else None,
            "new_common_length": run.common_length,
            "new_handle": run.handle,
            "new_resolved_model": run.resolved_model,
            "new_finish_reason": run.finish_reason,
            "new_input_tokens": run.usage.input_tokens,
            "new_output_tokens": run.usage.output_tokens,
            "new_cost": run.usage.cost,
            "new_cached_tokens": run.usage.cached_tokens,
            "new_reasoning_tokens": run.usage.reasoning_tokens,
            "new_error_code": run.error_code,
            "new_error_detail": run.error_detail,
            "new_started_at": run.started_at,
            "new_first_word_after": run.first_word_after,
            "new_finished_at": run.finished_at,
        }
        if not run.store:
            row = to_row(run)
            values.update({f"new_{name}": row[name] for name in _ERASED})
        if not self._database.is_sole_owner:
            values["words"] = await words_to_index(run)

        def operation(connection: Connection) -> bool:
            is_mine = statement.execute(connection, values) == 1
            if is_mine:
                # With its text, whose length may have to be known.
                close(connection, whole)
            return is_mine

        is_alone = self._database.is_sole_owner or not run.store
        try:
            return await self._database.write(
                operation if is_alone else _pipelined(operation, run, values)
            )
        except OutcomeUnknown as unknown:
            again = outcomes.unless(outcomes.IS_CLOSED, values, True, operation)
            return await outcomes.find_out(self._database, again, unknown)
        except IntegrityError:
            # A run with the same request stored this handle meanwhile. Both keep the
            # answer.
            values["new_handle"] = None
            return await self._database.write(operation)
        finally:
            if not run.store:
                self._database.erase_traces_soon()


def _settle_unkept(connection: Connection, run: Run) -> None:
    connection.execute(_FORGET_IMAGES, {"run_id": run.id}).close()
    settle(connection, run)


def _pipelined(
    operation: Operation[bool], run: Run, values: Mapping[str, Any]
) -> Operation[bool]:
    from llamakeep.storage.runs.pipelined import finishing  # noqa: PLC0415

    return finishing(operation, run, values)
