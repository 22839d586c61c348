"""JSON of runs for responses, exports and the command line."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from llamakeep.domain import Image, Item, Message, Part, Reasoning, Run, ToolCall
from llamakeep.domain.messages import images_in, written
from llamakeep.domain.runs import brought_by, stored_position
from llamakeep.schemas.images import path_of
from llamakeep.storage.history.beginnings import Beginning


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
    facts = {
        "response": run.response,
        "id": run.id,
        "status": run.status,
        "model": model_name(run),
        "resolved_model": run.resolved_model,
        "conversation_id": run.conversation_id,
        "previous_run_id": run.previous_run_id,
        "finish_reason": run.finish_reason,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": None if usage.cost is None else float(usage.cost),
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "created_at": run.created_at,
        "started_at": run.started_at,
        # Made here, as a call more would be one for each prompt.
        "first_word_at": None
        if run.first_word_after is None
        else run.created_at + timedelta(microseconds=run.first_word_after),
        "finished_at": run.finished_at,
        "error": error,
        "output": [written(item) for item in run.output] if run.output else None,
        "store": run.store,
        "source": run.source,
    }
    if run.parameters.route is not None:
        facts["route"] = shown_route(run.parameters.route)
    return facts


def shown_route(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return the way of a prompt to an alias as a `Route`."""
    left = [f"{provider}:{model}" for provider, model, *_ in route["left"]]
    return {**route, "left": left}


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
            "position": stored_position(run),
            "system_prompt": run.system_prompt,
            "parameters": run.parameters.given(),
            "metadata": run.metadata,
            "end_user": run.end_user,
            "last_message": None
            if run.last_message is None
            else shown_message(run.last_message, run.id),
        }
    )


def shown_beginning(found: Beginning) -> dict[str, Any]:
    """Return a run, or its beginning, as a `HistoryItem`, but as a dictionary."""
    if found.sizes is None:
        return shown_in_history(found.run)
    more: dict[str, Any] = {"sizes": found.sizes._asdict(), "is_cut": found.is_cut}
    if found.run.output:
        # What is left of several items has no position in the whole answer.
        more["position"] = None
    return shown_in_history(found.run) | more


def shown_message(message: Message, run_id: str) -> dict[str, Any]:
    """Return a message of a run, with its name and parts if it has them."""
    facts: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        facts["name"] = message.name
    if message.parts:
        facts["parts"] = [_shown_part(part, run_id) for part in message.parts]
    return facts


def _shown_part(part: Part, run_id: str) -> dict[str, Any]:
    facts = written(part)
    if isinstance(part, Image) and part.sha256 is not None:
        facts["link"] = path_of(run_id, part)
    return facts


def hashes_of(run: Run) -> Sequence[str]:
    """Return the hashes of the kept images that a run's messages show, each once."""
    shown = images_in(brought_by(run))
    return [*dict.fromkeys([each.sha256 for each in shown if each.sha256 is not None])]


def images_in_markdown(run: Run) -> str:
    """Return the images of a run's last message, a line for each, as links."""
    last = () if run.last_message is None else (run.last_message,)
    return "\n".join(
        f"![{image.media_type or 'image'}](<{path_of(run.id, image)}>)"
        for image in images_in(last)
    )


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
