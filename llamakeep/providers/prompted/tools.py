"""
Tools for models whose servers have no parameter for them: described in the prompt.

The form of a call is what Meta's chat template of Llama 4 asks for. That of its prompt
format, `[get_weather(city="Jeju")]`, is read as well: see `calls.py`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from llamakeep.domain import (
    Message,
    Parameters,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import images_in, said_in
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import CompletionRequest, Event, Finished, may_continue
from llamakeep.providers.prompted.calls import MOST_CALLS, CallReader
from llamakeep.providers.prompted.format import described_format

_HOW = """\
You can call the functions below: they are run for you, and you are told what they \
return. To call one, answer with a JSON object of this form and nothing else:
{"name": function name, "parameters": dictionary of argument name and its value}
Write the values out; do not use variables."""
_ONE = "Make one call at most in an answer."
_SEVERAL = "For several calls, write one such object after the other."
_MAY = (
    "Call a function only if it helps to answer and all that it requires is known; "
    "otherwise answer in plain text."
)
_MUST = "Now answer with a call, not with plain text."
_NO_ARGUMENTS: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
_SCHEMAS_BY_NAME = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
)
_NO_SCHEMAS = frozenset({"const", "default", "enum", "examples"})


def told(
    request: CompletionRequest, *, has_tool_role: bool = False
) -> CompletionRequest:
    """
    Return a request that tells of tools in its messages, which are text alone.

    So it does of the response format if that is asked for in the prompt. What tools
    returned is said by the user, or in the role `tool` if there is one.
    """
    messages = request.messages
    if any(message.parts for message in messages):
        messages = [*_texts(messages, has_tool_role=has_tool_role)]
    if text := described(request.parameters):
        first = messages[0]
        if first.role == "system":
            first = replace(first, content=f"{first.content}\n\n{text}")
            messages = [first, *messages[1:]]
        else:
            messages = [Message("system", text), *messages]
    parameters = replace(
        request.parameters,
        tools=(),
        tool_choice=None,
        parallel_tool_calls=None,
        prompted_tools=None,
        prompted_format=None,
    )
    if request.parameters.prompted_format:
        parameters = replace(parameters, response_format=None)
    return replace(request, messages=messages, parameters=parameters)


async def calls_read(
    request: CompletionRequest, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer, with its calls told from its text."""
    names = [function["name"] for function in functions_of(request.parameters)]
    is_one = request.parameters.parallel_tool_calls is False
    reader = CallReader(request.run_id, names, most=1 if is_one else MOST_CALLS)
    async with aclosing(events):
        try:
            async for event in events:
                if isinstance(event, str):
                    for growth in reader.feed(event):
                        yield growth
                        await asyncio.sleep(0)
                    continue
                if isinstance(event, Finished):
                    for growth in reader.end():
                        yield growth
                        await asyncio.sleep(0)
                    if reader.ends_with_call and event.finish_reason == "stop":
                        event = replace(event, finish_reason="tool_calls")  # noqa: PLW2901
                yield event
        except LlamaKeepError as error:
            # An answer that can be asked for again may still complete the call.
            if not may_continue(error):
                for growth in reader.end():
                    yield growth
            raise


def functions_of(parameters: Parameters) -> Sequence[Mapping[str, Any]]:
    """Return the functions that a model may call."""
    choice = parameters.tool_choice
    if choice == "none":
        return ()
    functions = [tool["function"] for tool in parameters.tools]
    if isinstance(choice, Mapping):
        named = choice["function"]["name"]
        return [function for function in functions if function["name"] == named]
    return functions


def has_to_call(parameters: Parameters) -> bool:
    """Return whether an answer has to be a call."""
    choice = parameters.tool_choice
    return bool(parameters.tools) and choice not in (None, "none", "auto")


def held_to(parameters: Parameters) -> Mapping[str, Any] | None:
    """
    Return the response format that lets a model say what it may, and calls.

    It is the one of `parameters` where that leaves room for calls.
    """
    wanted = parameters.response_format
    schemas = [_schema(function) for function in functions_of(parameters)]
    if not has_to_call(parameters):
        match wanted:
            case {"json_schema": {"schema": dict(schema)}} if schemas:
                schemas.append(schema)
            case _:
                return wanted
    places = [f"#/$defs/{number}" for number in range(len(schemas))]
    moved = {
        str(number): _moved(schema, place)
        for number, (schema, place) in enumerate(zip(schemas, places, strict=True))
    }
    either = {"anyOf": [{"$ref": place} for place in places], "$defs": moved}
    return {"type": "json_schema", "json_schema": {"name": "call", "schema": either}}


def _schema(function: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = function.get("parameters") or _NO_ARGUMENTS
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            "parameters": _moved(arguments, "#/properties/parameters"),
        },
        "required": ["name", "parameters"],
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str, *, has_names: bool = False) -> Any:
    """
    Return a schema whose references are right where it is part of another one.

    Args:
        schema: It, or some by their names.
        place: Where it is there.
        has_names: Whether there are names.
    """
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {}
    for name, value in schema.items():
        if has_names:
            moved[name] = _moved(value, place)
        elif name == "$ref" and isinstance(value, str) and value.startswith("#"):
            moved[name] = place + value[1:]
        elif name in _NO_SCHEMAS:
            moved[name] = value
        else:
            moved[name] = _moved(value, place, has_names=name in _SCHEMAS_BY_NAME)
    return moved


def described(parameters: Parameters) -> str:
    """Return the part of the prompt that describes tools and format to a model."""
    functions = functions_of(parameters)
    parts = [_described(functions, parameters)] if functions else []
    wanted = parameters.response_format
    if parameters.prompted_format and wanted is not None:
        parts.append(described_format(wanted, has_functions=bool(functions)))
    return "\n\n".join(parts)


def _described(functions: Sequence[Mapping[str, Any]], parameters: Parameters) -> str:
    is_one = parameters.parallel_tool_calls is False
    known = [
        {
            "name": function["name"],
            "description": function.get("description", ""),
            "parameters": function.get("parameters") or _NO_ARGUMENTS,
        }
        for function in functions
    ]
    lines = [
        _HOW,
        _ONE if is_one else _SEVERAL,
        _MUST if has_to_call(parameters) else _MAY,
        "The functions:",
        *[json.dumps(each, ensure_ascii=False) for each in known],
    ]
    return "\n".join(lines)


def _texts(messages: Sequence[Message], *, has_tool_role: bool) -> Iterator[Message]:
    """Yield messages of text alone that say what was called, and what came of it."""
    names: dict[str, str] = {}
    results: list[tuple[str, str]] = []
    for message in messages:
        lines: list[str] = []
        said: list[Part] = []
        for part in message.parts or (Text(message.content),):
            if isinstance(part, ToolResult):
                results.append((names.get(part.call_id, part.call_id), part.told))
            elif isinstance(part, ToolCall):
                names[part.call_id] = part.name
                lines.append(_written(part))
            elif not isinstance(part, Reasoning):
                said.append(part)
        if text := said_in(said):
            lines.insert(0, text)
        if lines or not message.parts or images_in([message]):
            yield from _returned(results, has_tool_role=has_tool_role)
            results = []
            yield Message(message.role, "\n".join(lines), message.name)
    yield from _returned(results, has_tool_role=has_tool_role)


def _returned(
    results: Sequence[tuple[str, str]], *, has_tool_role: bool
) -> Iterator[Message]:
    """Yield what tools returned, by name wherever that is not plain."""
    named = [f"{name} returned:\n{text}" for name, text in results]
    if not has_tool_role and named:
        yield Message("user", "\n\n".join(named))
    elif has_tool_role:
        texts = named if len(named) > 1 else [text for _, text in results]
        yield from [Message("tool", text) for text in texts]


def _written(call: ToolCall) -> str:
    try:
        is_object = isinstance(json.loads(call.text or "{}"), dict)
    except (ValueError, RecursionError):
        is_object = False
    arguments = (call.text or "{}") if is_object else json.dumps(call.text)
    return f'{{"name": {json.dumps(call.name)}, "parameters": {arguments}}}'
