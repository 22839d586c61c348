"""JSON of runs for responses, exports and the command line."""

from typing import Any

from llamakeep.domain import Item, Message, Reasoning, Run, ToolCall
from llamakeep.domain.messages import written


def model_name(run: Run) -> str:
    """Return the model's name as `provider:model`."""
    return f"{run.provider}:{run.model}"


def shown(run: Run) -> dict[str, Any]:
    """
    Return `run` as a `PromptResponse`, but as a dictionary.

    A run from storage needs no validation, which would take as much time as all other
    work on a response.
    """
    error = None
    if run.error_code is not None:
        error = {"type": run.error_code, "detail": run.error_detail or ""}
    usage = run.usage
    return {
        "response": run.response,
        "id": run.id,
        "status": run.status,
        "model": model_name(run),
        "resolved_model": run.resolved_model,
        "conversation_id": run.conversation_id,
        "finish_reason": run.finish_reason,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": None if usage.cost is None else float(usage.cost),
        },
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": error,
        "output": [written(item) for item in run.output] if run.output else None,
    }


def shown_in_history(run: Run) -> dict[str, Any]:
    """Return `run` as a `HistoryItem`, but as a dictionary."""
    asked = {
        "timestamp": f"{run.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "prompt": run.prompt,
    }
    # In the order in which people read it.
    return (
        asked
        | shown(run)
        | {
            "system_prompt": run.system_prompt,
            "parameters": run.parameters.given(),
            "metadata": run.metadata,
            "end_user": run.end_user,
            "last_message": None
            if run.last_message is None
            else shown_message(run.last_message),
        }
    )


def shown_message(message: Message) -> dict[str, Any]:
    """Return a message, with its name and parts if it has them."""
    facts: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        facts["name"] = message.name
    if message.parts:
        facts["parts"] = [written(part) for part in message.parts]
    return facts


def readable(run: Run) -> str:
    """Return an answer for people: its text, and what the model thought and called."""
    if not run.output:
        return run.response
    return "\n\n".join([text for item in run.output if (text := _readable(item))])


def _readable(item: Item) -> str:
    match item:
        case ToolCall():
            return f"[tool call] {item.name}({item.text})"
        case Reasoning():
            return f"[reasoning] {item.text}" if item.sealed is None else ""
    return item.text
