"""What is sent to servers that speak OpenAI's Responses API."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from llamakeep.domain import (
    Image,
    Message,
    Parameters,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import Part, said_in
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.images import NO_IMAGES, url_of
from llamakeep.providers.openai.requests import answered_parts
from llamakeep.providers.openai.sealed import encrypted_in

UNSUPPORTED = frozenset({"stop", "seed", "min_tokens", "top_k", "logit_bias"})
"""Parameters that the Responses API does not have."""

_SAME_NAME = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "service_tier",
    "truncation",
    "top_logprobs",
)
_LOGPROBS = "message.output_text.logprobs"


def request_body(
    request: CompletionRequest, urls: Mapping[str, str] = NO_IMAGES
) -> dict[str, Any]:
    """
    Return what to send for `request`, to be answered in the background.

    It is the same whenever it is made, so that it can be sent again under its
    idempotency key.

    Args:
        request: The request.
        urls: What `data_urls` returned.
    """
    first, *others = messages = request.messages
    body: dict[str, Any] = dict(request.parameters.extra_fields or {})
    if others and first.role == "system" and not first.parts:
        body["instructions"] = first.content
        messages = others
    return body | {
        "model": request.model,
        "input": list(_items(messages, urls)),
        "background": True,
        "stream": True,
        "store": True,
        # It is how an operator finds what was begun and is lost here.
        "metadata": {"llamakeep_run": request.run_id},
        **_parameters(request.parameters),
    }


def idempotency_key(request: CompletionRequest) -> str:
    """
    Return what is the same for each attempt at a run, and for no other request.

    An alias may have the same server asked for another model.
    """
    model = sha256(request.model.encode()).hexdigest()[:8]
    return f"llamakeep-{request.run_id}-{model}"


def _parameters(parameters: Parameters) -> dict[str, Any]:
    given = parameters.given()
    body = {name: given[name] for name in _SAME_NAME if name in given}
    if parameters.max_tokens is not None:
        body["max_output_tokens"] = parameters.max_tokens
    if parameters.reasoning_effort is not None:
        body["reasoning"] = {"effort": parameters.reasoning_effort}
    if parameters.logprobs:
        body["include"] = [_LOGPROBS]
    if parameters.tools:
        body["tools"] = [_flat(tool) for tool in parameters.tools]
        if (choice := parameters.tool_choice) is not None:
            body["tool_choice"] = choice if isinstance(choice, str) else _flat(choice)
    text: dict[str, Any] = {}
    if parameters.response_format is not None:
        text["format"] = _flat(parameters.response_format)
    if parameters.verbosity is not None:
        text["verbosity"] = parameters.verbosity
    return body | ({"text": text} if text else {})


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return what chat completions write one level deeper."""
    kind = nested["type"]
    return {"type": kind, **nested.get(kind, {})}


def _items(
    messages: Sequence[Message], urls: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for at, message in enumerate(messages):
        if not message.parts:
            yield _message(message.role, message.content)
        elif message.role == "assistant":
            for part in answered_parts(message, messages, at + 1):
                yield from _said(part)
        else:
            yield from _given(message, urls)


def _message(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _said(part: Part) -> Iterator[dict[str, Any]]:
    """Yield the item of what a model said; what it only thought, it need not read."""
    match part:
        case ToolCall(call_id, name, text):
            yield {
                "type": "function_call",
                "call_id": call_id,
                "name": name,
                "arguments": text,
            }
        case Reasoning(sealed=str(sealed)) if found := encrypted_in(sealed):
            yield {"type": "reasoning", "summary": [], **found}
        case Refusal(text):
            yield _message("assistant", [{"type": "refusal", "refusal": text}])
        case Text(text) if text:
            yield _message("assistant", text)


def _given(message: Message, urls: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the items of a message that no model said."""
    said: list[Part] = []
    result: ToolResult | None = None
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield from _result(result, said, urls)
            result, said = part, []
        else:
            said.append(part)
    if result is not None:
        yield from _result(result, said, urls)
    elif any(isinstance(part, Image) for part in said):
        yield _message(message.role, list(_contents(said, urls)))
    elif said:
        yield _message(message.role, said_in(said))


def _result(
    result: ToolResult | None, more: Sequence[Part], urls: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a tool's result, with the images behind it."""
    if result is None:
        if more:
            yield _message("user", list(_contents(more, urls)))
        return
    output: Any = result.told
    if more:
        output = list(_contents([Text(result.told), *more], urls))
    yield {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _contents(
    parts: Sequence[Part], urls: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for part in parts:
        if isinstance(part, Image):
            yield {
                "type": "input_image",
                "image_url": url_of(part, urls),
                "detail": part.detail or "auto",
            }
        elif part.text:
            yield {"type": "input_text", "text": part.text}
