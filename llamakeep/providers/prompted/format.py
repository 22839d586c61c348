"""JSON from models whose servers have no parameter for it: asked for in the prompt."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from llamakeep.domain import Text
from llamakeep.providers.base import Event, Finished, ItemBegun

NOT_JSON = "not_json"
"""The finish reason of an answer that is no JSON although it was asked for."""
LONGEST = 1024 * 1024
"""Characters of an answer that is read as JSON; a longer one counts as none."""
_QUICK = 64 * 1024

_HOW = """\
Answer with one JSON {kind} and nothing else: no other text, and no code fence."""
_UNLESS = "A call of a function is written as it is described above, and not so."
_SCHEMA = "It has to be valid against this JSON schema:"
_PURPOSE = "What it is for: {}"


def described_format(wanted: Mapping[str, Any], *, has_functions: bool) -> str:
    """Return the part of the prompt that asks for a response format."""
    form = wanted.get("json_schema", {})
    schema = form.get("schema")
    kind = "object" if _is_object(wanted) else "value"
    lines = [_HOW.format(kind=kind)]
    if has_functions:
        lines.append(_UNLESS)
    if purpose := form.get("description"):
        lines.append(_PURPOSE.format(purpose))
    if schema is not None:
        lines += [_SCHEMA, json.dumps(schema, ensure_ascii=False)]
    return "\n".join(lines)


async def json_checked(
    wanted: Mapping[str, Any], events: AsyncGenerator[Event, None], *, begun: str = ""
) -> AsyncGenerator[Event, None]:
    """
    Yield the events of an answer as they are, and say at its end if it is no JSON.

    An answer that ends for another reason than that it is complete is not checked.

    Args:
        wanted: The format.
        events: Those of the answer.
        begun: The beginning of the answer, which the client gave it.
    """
    said = [begun]
    length = len(begun)
    is_text = True
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ItemBegun):
                is_text = isinstance(event.item, Text)
            elif isinstance(event, str) and is_text:
                length += len(event)
                if length <= LONGEST:
                    said.append(event)
            elif isinstance(event, Finished) and event.finish_reason == "stop":
                text = "".join(said) if length <= LONGEST else ""
                if not await _fits(text, wanted):
                    event = replace(event, finish_reason=NOT_JSON)  # noqa: PLW2901
            yield event


async def _fits(text: str, wanted: Mapping[str, Any]) -> bool:
    if len(text) <= _QUICK:
        return _is_json(text, wanted)
    return await asyncio.to_thread(_is_json, text, wanted)


def _is_json(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return isinstance(value, dict) or not _is_object(wanted)


def _is_object(wanted: Mapping[str, Any]) -> bool:
    """Return whether the format is that of an object."""
    schema = wanted.get("json_schema", {}).get("schema")
    return schema is None or (
        isinstance(schema, dict) and schema.get("type") == "object"
    )
