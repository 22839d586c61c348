"""Conversion between runs and rows."""

from collections.abc import Sequence
from typing import Any

from llamakeep.domain import Message, Parameters, Run, Usage
from llamakeep.storage.database.tables import runs

READ = tuple(
    column
    for column in runs.c
    if column.name not in {"owner", "lease_until", "idempotency_key", "request_digest"}
)
"""The columns that make a `Run`."""
NAMES = tuple(column.name for column in READ)

_CONVERTED = {"input_tokens", "output_tokens", "cost", "earlier", "parameters"}
"""Columns whose values are converted."""
_UNCONVERTED = tuple(
    (place, name) for place, name in enumerate(NAMES) if name not in _CONVERTED
)
_INPUT, _OUTPUT, _COST, _EARLIER, _PARAMETERS = map(
    NAMES.index, ("input_tokens", "output_tokens", "cost", "earlier", "parameters")
)
_NO_PARAMETERS = Parameters()


def to_run(row: Sequence[Any]) -> Run:
    """Convert a row that begins with the `READ` columns."""
    earlier, given = row[_EARLIER], row[_PARAMETERS]
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Run(
        usage=Usage(row[_INPUT], row[_OUTPUT], row[_COST]),
        prior_messages=tuple([Message(*each) for each in earlier]) if earlier else (),
        parameters=Parameters(**given) if given else _NO_PARAMETERS,
        **{name: row[place] for place, name in _UNCONVERTED},
    )


def to_row(run: Run) -> dict[str, Any]:
    """Return a run's columns, without those of its lease and idempotency key."""
    return {
        "id": run.id,
        "user_id": run.user_id,
        "api_key_id": run.api_key_id,
        "status": run.status,
        "prompt": run.prompt,
        "response": run.response,
        "common_length": run.common_length,
        "system_prompt": run.system_prompt,
        "earlier": _written(run.prior_messages) if run.prior_messages else None,
        "conversation_id": run.conversation_id,
        "previous_run_id": run.previous_run_id,
        "parameters": run.parameters.given(),
        "metadata": run.metadata,
        "provider": run.provider,
        "model": run.model,
        "resolved_model": run.resolved_model,
        "finish_reason": run.finish_reason,
        "input_tokens": run.usage.input_tokens,
        "output_tokens": run.usage.output_tokens,
        "cost": run.usage.cost,
        "reservation": run.reservation,
        "error_code": run.error_code,
        "error_detail": run.error_detail,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "attempt": run.attempt,
    }


def _written(messages: Sequence[Message]) -> Sequence[tuple[str, ...]]:
    return [
        (each.role, each.content, *(() if each.name is None else (each.name,)))
        for each in messages
    ]
