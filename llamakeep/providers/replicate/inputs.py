"""A prediction's `input`, in the words that its model knows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llamakeep.domain import Message, Parameters
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.openai.requests import request_body
from llamakeep.providers.prompted_tools import told
from llamakeep.providers.replicate.input_schema import (
    ITEMS,
    MESSAGES,
    PROMPT,
    InputSchema,
)
from llamakeep.providers.replicate.openapi import ANYTHING
from llamakeep.providers.replicate.transcripts import as_text, chat_template, plain

_ALONE = Parameters()


def build_input(request: CompletionRequest, schema: InputSchema) -> dict[str, Any]:
    """
    Return what to send for `request`: only what was asked for.

    Raises:
        UnsupportedParameter: The model does not know one, or cannot be told.
    """
    own = _own(request.parameters, schema)
    if lacking := sorted(schema.lacks(own.given())):
        raise UnsupportedParameter(
            f"The model {request.model!r} on Replicate does not know: "
            f"{', '.join(lacking)}. Leave it out, or choose another model.",
            parameters=lacking,
        )
    written = schema.written(request.model, own)
    if not request.parameters.prompted_tools:
        # They are in a field of their own.
        parameters = replace(request.parameters, tools=())
        request = replace(request, parameters=parameters)
    is_told = request.parameters.prompted_tools or request.parameters.prompted_format
    if schema.has_messages:
        said = told(request) if is_told else request
        return _conversation(said, schema) | written
    if is_told or any(message.parts for message in request.messages):
        has_tool_role = chat_template(request.model) is not None
        request = told(request, has_tool_role=has_tool_role)
    return _prompt(request.model, request.messages, schema) | written


def _own(parameters: Parameters, schema: InputSchema) -> Parameters:
    """Return the parameters that the model is to have fields for."""
    own = replace(parameters, prompted_tools=None, prompted_format=None)
    if parameters.prompted_format:
        own = replace(own, response_format=None)
    if parameters.prompted_tools or own.tool_choice == "none" or not own.tools:
        own = replace(own, tools=(), tool_choice=None, parallel_tool_calls=None)
    # What changes nothing needs no field.
    if own.tool_choice == "auto" and schema.spelling("tool_choice") is None:
        own = replace(own, tool_choice=None)
    if own.parallel_tool_calls and schema.spelling("parallel_tool_calls") is None:
        own = replace(own, parallel_tool_calls=None)
    # No model says more than it can; a limit may come from a user's quota.
    field = schema.fields.get(schema.spelling("max_tokens") or "", ANYTHING)
    if own.max_tokens is not None and field.maximum is not None:
        own = replace(own, max_tokens=min(own.max_tokens, int(field.maximum)))
    if own.reasoning_effort == "none" and schema.spelling("reasoning_effort") is None:
        own = replace(own, reasoning_effort=None)
    return own


def _conversation(request: CompletionRequest, schema: InputSchema) -> dict[str, Any]:
    """Return what was said, for a model that takes conversations."""
    *before, last = request.messages
    system = [each.content for each in before if each.role == "system"]
    has_field = schema.system_prompt is not None
    is_prompt = last.role == "user" and not last.parts and len(system) == len(before)
    if is_prompt and PROMPT in schema.fields and (has_field or not system):
        return {PROMPT: last.content, **_system(system, schema)}
    said = request_body(replace(request, parameters=_ALONE))["messages"]
    if MESSAGES in schema.fields:
        return {MESSAGES: schema.fitted(MESSAGES, said)}
    return {ITEMS: schema.fitted(ITEMS, list(_items(said)))}


def _items(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a chat as items of OpenAI's responses."""
    for message in messages:
        text = message["content"] or message.get("refusal")
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            output = {"call_id": call_id, "output": message["content"]}
            yield {"type": "function_call_output", **output}
        elif text:
            yield {"role": message["role"], "content": text}
        for call in message.get("tool_calls", ()):
            yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _prompt(
    model: str, given: Sequence[Message], schema: InputSchema
) -> dict[str, Any]:
    """Return what was said as one text."""
    messages = as_text(model, given)
    *before, last = messages
    if not before:
        return {PROMPT: last.content}
    system = [each.content for each in before if each.role == "system"]
    has_field = schema.system_prompt is not None
    if len(system) == len(before) and has_field:
        return {PROMPT: last.content, **_system(system, schema)}
    write = chat_template(model)
    if write is not None and "prompt_template" in schema.fields:
        # The model would otherwise wrap what is wrapped already.
        return {PROMPT: write(messages), "prompt_template": "{prompt}"}
    if system and has_field:
        said = [each for each in messages if each.role != "system"]
        return {PROMPT: plain(said), **_system(system, schema)}
    return {PROMPT: plain(messages)}


def _system(system: Sequence[str], schema: InputSchema) -> dict[str, str]:
    if not system or schema.system_prompt is None:
        return {}
    return {schema.system_prompt: "\n\n".join(system)}
