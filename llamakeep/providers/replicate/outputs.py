"""Outputs that are objects: text, JSON and tool calls in fields of their own."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from llamakeep.domain import Reasoning, Text, ToolCall
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import (
    Event,
    Finished,
    ItemBegun,
    ItemText,
    call_id_of,
    may_continue,
)
from llamakeep.providers.json_text import read_event_json
from llamakeep.providers.prompted.calls import MOST_CALLS
from llamakeep.providers.replicate.predictions import clean

_REASONING = ("reasoning", "reasoning_content", "thinking")
_JSON = ("json_output",)
_TEXT = ("text", "output_text", "content")
_CALLS = ("tool_calls", "function_calls")
OUTPUT_FIELDS = frozenset((*_REASONING, *_JSON, *_TEXT, *_CALLS))
"""Fields of an output that are read, by what models on Replicate call them."""

Said = str | ItemBegun | ItemText


async def output_read(
    run_id: str, known: frozenset[str], events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer whose text is an output that is an object."""
    texts: list[str] = []
    async with aclosing(events):
        try:
            async for event in events:
                if isinstance(event, str):
                    texts.append(event)
                    continue
                if isinstance(event, Finished):
                    said = read_output("".join(texts), known, run_id)
                    for each in said:
                        yield each
                        await asyncio.sleep(0)
                    if event.finish_reason == "stop" and any(map(_is_call, said)):
                        event = replace(event, finish_reason="tool_calls")  # noqa: PLW2901
                yield event
        except LlamaKeepError as error:
            # An answer that can be asked for again may still complete the output.
            if texts and not may_continue(error):
                yield "".join(texts)
            raise


def read_output(text: str, known: frozenset[str], run_id: str) -> Sequence[Said]:
    """
    Return what an output says.

    It stays the text that it is where it is no such object, or has a call that cannot
    be read.

    Args:
        text: Its JSON.
        known: Which of the fields its model's schema has.
        run_id: Makes ids for calls that have none, the same ones each time.
    """
    try:
        output = read_event_json(text.encode())
        if not isinstance(output, dict):
            raise ValueError("It is no object.")  # noqa: TRY301, TRY004 - handled below
        found = {name: output.get(name) for name in known}
        return list(_said(found, run_id))
    except ValueError:
        return [text] if text else []


def _is_call(said: Said) -> bool:
    return isinstance(said, ItemBegun) and isinstance(said.item, ToolCall)


def _said(found: Mapping[str, Any], run_id: str) -> Iterator[Said]:
    has_begun = False
    if thoughts := _first_text(found, _REASONING):
        yield from (ItemBegun(Reasoning()), ItemText(thoughts))
        has_begun = True
    value = next((found[name] for name in _JSON if found.get(name)), None)
    said = _first_text(found, _TEXT)
    if value is not None:
        said = clean(json.dumps(value, ensure_ascii=False))
    if said:
        if has_begun:
            yield ItemBegun(Text())
        yield said
    for call in _calls(found, run_id):
        yield from (ItemBegun(ToolCall(call.call_id, call.name)), ItemText(call.text))


def _first_text(found: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        value = found.get(name)
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = "".join(value)
        if value is not None and not isinstance(value, str):
            raise ValueError("A text is none.")
        if value:
            return clean(value)
    return ""


def _calls(found: Mapping[str, Any], run_id: str) -> Iterator[ToolCall]:
    given: Any = next((found[name] for name in _CALLS if found.get(name)), [])
    if not isinstance(given, list) or len(given) > MOST_CALLS:
        raise ValueError("There are no calls, or too many.")
    ids: set[str] = set()
    for number, each in enumerate(given, 1):
        if not isinstance(each, dict):
            raise ValueError("A call is none.")  # noqa: TRY004 - handled above
        function = each.get("function", each)
        if not isinstance(function, dict):
            raise ValueError("A call has no function.")  # noqa: TRY004 - handled above
        name, arguments = function.get("name"), function.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        call_id = each.get("call_id") or each.get("id") or call_id_of(run_id, number)
        call_id, name = _label(call_id, LONGEST_CALL_ID), _label(name, LONGEST_NAME)
        if call_id in ids:
            raise ValueError("Two calls have one id.")
        ids.add(call_id)
        yield ToolCall(call_id, name, clean(arguments))


def _label(value: Any, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ValueError("A call has no name or id, or one that is too long.")
    return clean(value)
