"""Messages, as Anthropic's API shows them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llamakeep.api.anthropic.calls import input_of
from llamakeep.api.prompts.ids import id_of
from llamakeep.domain import Item, Reasoning, Refusal, Run, Text, ToolCall, Usage
from llamakeep.history.records import model_name

MESSAGE = "msg_"
"""The prefix of a message's id."""


class Shown(NamedTuple):
    """What an answer shows of what its model thought."""

    thinking: bool = False
    """Whether it has blocks with thinking."""
    text: bool = True
    """Whether these have a text."""
    sealed: bool = False
    """Whether it has blocks of what its server wants to be handed back as it came."""

    def has_block(self, item: Item) -> bool:
        """Return whether an item that is complete has a block."""
        match item:
            case ToolCall():
                return True
            case Reasoning(sealed=str()):
                return self.sealed
            case Reasoning() if not self.thinking:
                return False
            case _:
                return bool(item.text)


_REASONS: Mapping[str | None, str] = {
    "length": "max_tokens",
    "content_filter": "refusal",
}


def beginning_of(run: Run) -> dict[str, Any]:
    """Return the message of a stream's first event."""
    return {
        "id": id_of(run, MESSAGE),
        "type": "message",
        "role": "assistant",
        "model": model_name(run),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage_of(Usage())
        | {"cache_creation": None, "inference_geo": None, "service_tier": "standard"},
    }


def whole(run: Run, shown: Shown) -> dict[str, Any]:
    """Return the message of a run that has succeeded."""
    message = beginning_of(run)
    usage = message["usage"] | usage_of(run.usage)
    kinds = {type(item) for item in run.output}
    content = [_block(item, shown) for item in _output(run) if shown.has_block(item)]
    return message | ending_of(run, kinds) | {"content": content, "usage": usage}


def ending_of(run: Run, kinds: set[type[Item]]) -> dict[str, Any]:
    """
    Return why a run has ended.

    Args:
        run: The run; it may be without its items.
        kinds: The kinds of items that its answer has.
    """
    reason = _REASONS.get(run.finish_reason)
    if reason is None:
        reason = "tool_use" if ToolCall in kinds else "end_turn"
        if Refusal in kinds:
            reason = "refusal"
    details = {"type": "refusal", "category": None, "explanation": None}
    return {
        "stop_reason": reason,
        # Providers do not say which stop sequence it was, or if it was one.
        "stop_sequence": None,
        "stop_details": details if reason == "refusal" else None,
        "container": None,
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    """
    Return the usage; clients need numbers, so 0 is also what is not known.

    Here, what came from a cache is not among the input tokens.
    """
    cached = min(usage.cached_tokens or 0, usage.input_tokens or 0)
    return {
        "input_tokens": (usage.input_tokens or 0) - cached,
        "output_tokens": usage.output_tokens or 0,
        "cache_creation_input_tokens": None,
        "cache_read_input_tokens": cached or None,
        "output_tokens_details": None,
        "server_tool_use": None,
    }


def begun_block(item: Item) -> dict[str, Any]:
    """Return the block of an item that begins."""
    match item:
        case ToolCall(call_id, name):
            return {
                "type": "tool_use",
                "id": call_id,
                "name": name,
                "input": {},
                "caller": {"type": "direct"},
            }
        case Reasoning(sealed=None):
            return {"type": "thinking", "thinking": "", "signature": ""}
        case Reasoning(sealed=sealed):
            return {"type": "redacted_thinking", "data": sealed}
        case _:
            return {"type": "text", "text": "", "citations": None}


def _output(run: Run) -> Sequence[Item]:
    return run.output or (Text(run.response),)


def _block(item: Item, shown: Shown) -> dict[str, Any]:
    block = begun_block(item)
    match item:
        case ToolCall():
            block["input"] = input_of(item)
        case Reasoning(text, None):
            block["thinking"] = text if shown.text else ""
        case Text(text) | Refusal(text):
            block["text"] = text
    return block
