"""Bodies of responses."""

from typing import Any

from llamakeep.api.openai.responses.items import output_items
from llamakeep.api.openai.responses.namespaces import in_namespaces
from llamakeep.api.openai.responses.text_format import text_format
from llamakeep.api.openai.tools import flat_choice, flat_tools
from llamakeep.api.prompts.ids import id_of
from llamakeep.domain import Run, RunStatus, Usage
from llamakeep.domain.runs import FOLLOWS_NOTHING
from llamakeep.errors import (
    ClientError,
    ProviderRateLimited,
    ServerBusy,
    from_code,
)
from llamakeep.history.records import model_name

RESPONSE = "resp_"
"""The prefix of a response's id."""

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_STATUSES = {
    RunStatus.QUEUED: "queued",
    RunStatus.STARTING: "in_progress",
    RunStatus.PROCESSING: "in_progress",
    RunStatus.SUCCEEDED: "completed",
    RunStatus.CANCELED: "cancelled",
    RunStatus.FAILED: "failed",
    RunStatus.EXPIRED: "failed",
    RunStatus.INTERRUPTED: "failed",
}
_ITEM_STATUSES = {
    "queued": "in_progress",
    "in_progress": "in_progress",
    "completed": "completed",
}
"""The status of a response's last item; with others, it is incomplete."""


def response_of(run: Run) -> dict[str, Any]:
    """Return `run` as a response."""
    reason = _incomplete_reason(run)
    status = "incomplete" if reason else _STATUSES[run.status]
    output = []
    is_whole = run.status is RunStatus.SUCCEEDED and run.store
    if run.response or run.output or is_whole:
        output = output_items(run, _ITEM_STATUSES.get(status, "incomplete"))
    return _facts(run) | {
        "status": status,
        "completed_at": _seconds(run) if status == "completed" else None,
        "error": error_of(run) if status == "failed" else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": usage_of(run.usage),
    }


def beginning_of(run: Run) -> dict[str, Any]:
    """Return the response in a stream's first events, the same at every reading."""
    return _facts(run) | {
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }


def error_of(run: Run) -> dict[str, Any]:
    """Return why `run` failed, with one of OpenAI's codes."""
    error = from_code(run.error_code, run.error_detail)
    code = "server_error"
    if isinstance(error, ClientError):
        code = "invalid_prompt"
    elif isinstance(error, ProviderRateLimited | ServerBusy):
        code = "rate_limit_exceeded"
    return {"code": code, "message": error.detail}


def _facts(run: Run) -> dict[str, Any]:
    """
    Return the fields that do not change while the run is unfinished.

    Numbers that were left to the model are shown as OpenAI's defaults: clients need
    numbers.
    """
    parameters = run.parameters
    echoed = parameters.echoed or {}
    return {
        "id": id_of(run, RESPONSE),
        "object": "response",
        "created_at": int(run.created_at.timestamp()),
        "model": model_name(run),
        "instructions": run.system_prompt,
        "previous_response_id": _previous(run),
        "conversation": {"id": run.conversation_id},
        "background": echoed.get("background", False),
        "store": run.store,
        "max_output_tokens": parameters.max_tokens,
        "temperature": _or_default(parameters.temperature, 1.0),
        "top_p": _or_default(parameters.top_p, 1.0),
        "presence_penalty": _or_default(parameters.presence_penalty, 0.0),
        "frequency_penalty": _or_default(parameters.frequency_penalty, 0.0),
        "text": {
            "format": text_format(parameters.response_format),
            "verbosity": parameters.verbosity or "medium",
        },
        "metadata": dict(run.metadata),
        "tools": in_namespaces(run, flat_tools(parameters.tools)),
        "tool_choice": flat_choice(parameters.tool_choice),
        "parallel_tool_calls": parameters.parallel_tool_calls is not False,
        "max_tool_calls": echoed.get("max_tool_calls"),
        "top_logprobs": parameters.top_logprobs or 0,
        "truncation": parameters.truncation or "disabled",
        "reasoning": {
            "effort": parameters.reasoning_effort,
            "summary": echoed.get("summary"),
        },
        "service_tier": parameters.service_tier or "default",
        "prompt": None,
        "prompt_cache_key": echoed.get("prompt_cache_key"),
        "safety_identifier": run.end_user,
        "user": run.end_user,
    }


def _or_default(given: float | None, default: float) -> float:
    return default if given is None else given


def _previous(run: Run) -> str | None:
    if run.previous_run_id in {None, FOLLOWS_NOTHING}:
        return None
    return RESPONSE + run.previous_run_id.removeprefix("run_")


def _incomplete_reason(run: Run) -> str | None:
    if run.status is not RunStatus.SUCCEEDED:
        return None
    return _REASONS.get(run.finish_reason or "")


def _seconds(run: Run) -> int | None:
    return None if run.finished_at is None else int(run.finished_at.timestamp())


def usage_of(usage: Usage) -> dict[str, Any] | None:
    """Return what a run took, if its provider said so."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
