"""Conversion between runs and rows."""

from collections.abc import Sequence
from typing import Any

from llamakeep.domain import Message, Parameters, Run, Usage
from llamakeep.domain.runs import PLAIN
from llamakeep.storage.database.tables import runs
from llamakeep.storage.runs.parts import (
    read_message,
    read_output,
    stored,
    stored_message,
)

READ = tuple(
    column
    for column in runs.c
    if column.name not in {"owner", "lease_until", "idempotency_key", "request_digest"}
)
"""The columns that make a `Run`."""
NAMES = tuple(column.name for column in READ)

_USAGE = (
    "input_tokens",
    "output_tokens",
    "cost",
    "cached_tokens",
    "reasoning_tokens",
)
"""The columns of `Usage`, in the order of its fields."""
_CONVERTED = {
    *_USAGE,
    "earlier",
    "last_message",
    "output",
    "parameters",
    "store",
}
"""Columns whose values are converted."""
_UNCONVERTED = tuple(
    (place, name) for place, name in enumerate(NAMES) if name not in _CONVERTED
)
_USED = tuple(NAMES.index(name) for name in _USAGE)
_EARLIER, _LAST, _ITEMS, _PARAMETERS = map(
    NAMES.index, ("earlier", "last_message", "output", "parameters")
)
_PROMPT, _RESPONSE, _STORE = map(NAMES.index, ("prompt", "response", "store"))


def to_run(row: Sequence[Any]) -> Run:
    """Convert a row that begins with the `READ` columns."""
    earlier, last, items = row[_EARLIER], row[_LAST], row[_ITEMS]
    given = row[_PARAMETERS]
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Run(
        usage=Usage(*[row[place] for place in _USED]),
        prior_messages=tuple([read_message(*each) for each in earlier])
        if earlier
        else (),
        last_message=read_message(last[0], row[_PROMPT], *last[1:]) if last else None,
        output=read_output(items, row[_RESPONSE]) if items else (),
        parameters=Parameters(**given) if given else PLAIN,
        store=row[_STORE] is not False,
        **{name: row[place] for place, name in _UNCONVERTED},
    )


def to_row(run: Run) -> dict[str, Any]:
    """Return a run's columns, without those of its lease and idempotency key."""
    return {
        "id": run.id,
        "user_id": run.user_id,
        "api_key_id": run.api_key_id,
        "end_user": run.end_user,
        "source": run.source,
        "status": run.status,
        "prompt": run.prompt,
        "response": run.response,
        "common_length": run.common_length,
        "system_prompt": run.system_prompt,
        "earlier": _written(run.prior_messages) if run.prior_messages else None,
        "last_message": _without_content(run.last_message)
        if run.last_message
        else None,
        "output": stored(run.output) if run.output else None,
        "store": None if run.store else False,
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
        "cached_tokens": run.usage.cached_tokens,
        "reasoning_tokens": run.usage.reasoning_tokens,
        "reservation": run.reservation,
        "error_code": run.error_code,
        "error_detail": run.error_detail,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "first_word_after": run.first_word_after,
        "finished_at": run.finished_at,
        "attempt": run.attempt,
    }


def _written(messages: Sequence[Message]) -> Sequence[Sequence[Any]]:
    return [stored_message(each) for each in messages]


def _without_content(message: Message) -> Sequence[Any]:
    """Return a message without its content, which is the prompt."""
    role, _, *more = stored_message(message)
    return role, *more
