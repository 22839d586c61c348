"""A prediction's `input`, in the words that its model knows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llamakeep.domain import Image, Message, Parameters, Text
from llamakeep.domain.messages import images_in
from llamakeep.domain.runs import PLAIN, TOOL_PARAMETERS
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import IMAGES, CompletionRequest
from llamakeep.providers.capabilities import idle_in
from llamakeep.providers.images import NO_IMAGES, url_of
from llamakeep.providers.openai.requests import request_body
from llamakeep.providers.prompted.tools import told
from llamakeep.providers.replicate.input_schema import (
    ITEMS,
    MESSAGES,
    PROMPT,
    TEMPLATE,
    InputSchema,
)
from llamakeep.providers.replicate.openapi import ANYTHING
from llamakeep.providers.replicate.transcripts import as_text, chat_template, plain

MOST_BYTES = 7 * 1024 * 1024
"""Bytes of all images of a prediction: Replicate's own client sends no more in it."""


def build_input(
    request: CompletionRequest,
    schema: InputSchema,
    urls: Mapping[str, str] = NO_IMAGES,
) -> dict[str, Any]:
    """
    Return what to send for `request`: only what was asked for.

    Args:
        request: The request.
        schema: What its model takes.
        urls: What `data_urls` returned.

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
    if request.parameters.tools and not request.parameters.prompted_tools:
        # They are in a field of their own.
        parameters = replace(request.parameters, tools=())
        request = replace(request, parameters=parameters)
    is_told = request.parameters.prompted_tools or request.parameters.prompted_format
    if schema.has_messages:
        said = told(request) if is_told else request
        return _conversation(said, schema, urls) | written
    images = _images(request.messages, schema, urls)
    if is_told or any(message.parts for message in request.messages):
        has_tool_role = chat_template(request.model) is not None
        request = told(request, has_tool_role=has_tool_role)
    return _prompt(request.model, request.messages, schema) | images | written


def _own(parameters: Parameters, schema: InputSchema) -> Parameters:
    """Return the parameters that the model is to have fields for."""
    without = {"prompted_tools", "prompted_format"}
    if parameters.prompted_format:
        without.add("response_format")
    has_tools = parameters.tools and parameters.tool_choice != "none"
    if parameters.prompted_tools or not has_tools:
        without |= TOOL_PARAMETERS
    # What changes nothing needs no field.
    without |= schema.lacks(idle_in(parameters))
    changes = {name: getattr(PLAIN, name) for name in without}
    # No model says more than it can; a limit may come from a user's quota.
    field = schema.fields.get(schema.spelling("max_tokens") or "", ANYTHING)
    if parameters.max_tokens is not None and field.maximum is not None:
        changes["max_tokens"] = min(parameters.max_tokens, int(field.maximum))
    return replace(parameters, **changes)


def _conversation(
    request: CompletionRequest, schema: InputSchema, urls: Mapping[str, str]
) -> dict[str, Any]:
    """Return what was said, for a model that takes conversations."""
    *before, last = request.messages
    system = [each.content for each in before if each.role == "system"]
    has_field = schema.system_prompt is not None
    is_prompt = (
        last.role == "user"
        and all(isinstance(part, Text | Image) for part in last.parts)
        and len(system) == len(before)
    )
    if is_prompt and PROMPT in schema.fields and (has_field or not system):
        images = _images([last], schema, urls)
        return {PROMPT: last.content, **_system(system, schema), **images}
    if schema.images is None:
        check_images(images_in(request.messages), schema)
    said = request_body(replace(request, parameters=PLAIN), urls=urls)["messages"]
    if MESSAGES in schema.fields:
        return {MESSAGES: schema.fitted(MESSAGES, said)}
    return {ITEMS: schema.fitted(ITEMS, list(_items(said)))}


def _images(
    messages: Sequence[Message], schema: InputSchema, urls: Mapping[str, str]
) -> dict[str, Any]:
    """Return the images in messages for the field that a model has for them."""
    images = images_in(messages)
    check_images(images, schema)
    if not images or schema.images is None:
        return {}
    found = [url_of(image, urls) for image in images]
    return {schema.images: found[0] if schema.is_of_one_image else found}


def check_images(images: Sequence[Image], schema: InputSchema) -> None:
    """
    Check that a model can be given images.

    Raises:
        UnsupportedParameter: It cannot look at them, or not at so many.
    """
    if not images:
        return
    fault = None
    if schema.images is None:
        fault = "The model on Replicate cannot look at images"
    elif schema.is_of_one_image and len(images) > 1:
        fault = f"The model on Replicate can look at one image, and not {len(images)}"
    elif sum(image.size or 0 for image in images) > MOST_BYTES:
        fault = (
            "The images, with those of what was said before, have more than "
            f"{MOST_BYTES // 1024**2} MiB together, and more cannot be sent to "
            "Replicate"
        )
    if fault is not None:
        raise UnsupportedParameter(
            f"{fault}; it was not asked. Send fewer or smaller ones, or https "
            "addresses, or choose another model.",
            parameters=[IMAGES],
        )


def _items(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a chat as items of OpenAI's responses."""
    for message in messages:
        said = message["content"] or message.get("refusal")
        text = list(map(_part, said)) if isinstance(said, list) else said
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            output = {"call_id": call_id, "output": message["content"]}
            yield {"type": "function_call_output", **output}
        elif text:
            yield {"role": message["role"], "content": text}
        for call in message.get("tool_calls", ()):
            yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a chat's message as OpenAI's responses have it."""
    if part["type"] == "text":
        return {"type": "input_text", "text": part["text"]}
    image = part["image_url"]
    detail = {"detail": image["detail"]} if "detail" in image else {}
    return {"type": "input_image", "image_url": image["url"], **detail}


def _prompt(
    model: str, given: Sequence[Message], schema: InputSchema
) -> dict[str, Any]:
    """
    Return what was said as one text.

    Raises:
        UnsupportedParameter: The model cannot continue the beginning of an answer.
    """
    messages = as_text(model, given)
    *before, last = messages
    if last.role == "assistant":
        return _begun(model, messages, schema)
    if not before:
        return {PROMPT: last.content}
    system = [each.content for each in before if each.role == "system"]
    has_field = schema.system_prompt is not None
    if len(system) == len(before) and has_field:
        return {PROMPT: last.content, **_system(system, schema)}
    if (whole := _whole(model, messages, schema)) is not None:
        return whole
    if system and has_field:
        said = [each for each in messages if each.role != "system"]
        return {PROMPT: plain(said), **_system(system, schema)}
    return {PROMPT: plain(messages)}


def _begun(
    model: str, messages: Sequence[Message], schema: InputSchema
) -> dict[str, Any]:
    """Return what was said, and the beginning of an answer."""
    if (whole := _whole(model, messages, schema)) is None:
        raise UnsupportedParameter(
            f"The model {model!r} on Replicate cannot continue the beginning of an "
            "answer; it was not asked. Add a message of the role `user`, or choose "
            "another model."
        )
    return whole


def _whole(
    model: str, messages: Sequence[Message], schema: InputSchema
) -> dict[str, str] | None:
    """Return what was said in the model's own form, if it can be given that."""
    write = chat_template(model)
    if write is None or not schema.has_template:
        return None
    # The model would otherwise wrap what is wrapped already.
    return {PROMPT: write(messages), TEMPLATE: "{prompt}"}


def _system(system: Sequence[str], schema: InputSchema) -> dict[str, str]:
    if not system or schema.system_prompt is None:
        return {}
    return {schema.system_prompt: "\n\n".join(system)}
