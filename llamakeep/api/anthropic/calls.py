"""
Arguments of tool calls, which are JSON objects in Anthropic's API.

A model may write others, or none: they are text everywhere else. Here, such a text is
the only value of an object, as Anthropic's guide on streaming tools suggests. When a
client sends that object back, the text is again what the model wrote.
"""

import json
from collections.abc import Mapping
from typing import Any

from llamakeep.api.prompts.reading import (
    call_id_in,
    checked,
    checked_json,
    invalid,
    named,
)
from llamakeep.domain import ToolCall
from llamakeep.schemas.text import check_json

INVALID = "INVALID_JSON"
"""The key of arguments that are not a JSON object."""


def input_of(call: ToolCall) -> Mapping[str, Any]:
    """Return the arguments of a call as an object."""
    if not call.text or call.text.isspace():
        return {}
    try:
        found = json.loads(call.text)
        if isinstance(found, dict):
            return check_json(found)  # or clients could not send it back
    except (ValueError, RecursionError):
        pass
    return {INVALID: call.text}


def call_of(block: Mapping[str, Any], where: str) -> ToolCall:
    """
    Return the call of a `tool_use` block.

    Raises:
        InvalidRequest: It has no id, no name or no object of arguments.
    """
    call_id = call_id_in(block.get("id"), f"{where}.id")
    name = named(block.get("name"), f"{where}.name")
    given = block.get("input")
    if not isinstance(given, dict):
        raise invalid(f"{where}.input", "It has to be an object.")
    if len(given) == 1 and isinstance(text := given.get(INVALID), str):
        return ToolCall(call_id, name, checked(text, f"{where}.input"))
    checked_json(given, f"{where}.input")
    return ToolCall(call_id, name, json.dumps(given, ensure_ascii=False))
