"""Runs as rows, and back."""

from typing import Any

from sqlalchemy import Row

from llamakeep.domain import Message, Parameters, Run, Usage
from llamakeep.storage.tables import runs

READ = tuple(
    column
    for column in runs.c
    if column.name not in {"owner", "lease_until", "idempotency_key", "request_digest"}
)
"""The columns that make a `Run`."""
NAMES = tuple(column.name for column in READ)


def to_run(row: Row[*tuple[Any, ...]]) -> Run:
    """Return the run that a row of `READ` columns holds."""
    facts = dict(zip(NAMES, row, strict=False))  # a query may append to `READ`
    facts["usage"] = Usage(
        facts.pop("input_tokens"), facts.pop("output_tokens"), facts.pop("cost")
    )
    facts["earlier"] = tuple(Message(*each) for each in facts["earlier"] or ())
    given = facts.pop("parameters")
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Run(parameters=Parameters(**given), **facts)


def to_row(run: Run) -> dict[str, Any]:
    """Return the columns of a run, but for those that say who works on it."""
    return {
        "id": run.id,
        "user_id": run.user_id,
        "api_key_id": run.api_key_id,
        "status": run.status,
        "prompt": run.prompt,
        "response": run.response,
        "common_length": run.common_length,
        "system_prompt": run.system_prompt,
        "earlier": [(each.role, each.content) for each in run.earlier] or None,
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
