"""What is sent to servers that speak OpenAI's chat completions."""

from collections.abc import Iterator, Sequence
from typing import Any

from llamakeep.domain import Message, Refusal, Text, ToolCall, ToolResult
from llamakeep.domain.messages import Part, said_in
from llamakeep.providers.base import CompletionRequest


def request_body(request: CompletionRequest) -> dict[str, Any]:
    """Return what to send for `request`: only what was asked for."""
    messages: list[dict[str, Any]] = []
    for message in request.messages:
        messages.extend(_sent(message) if message.parts else [_plain(message)])
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update(request.parameters.given())
    if request.parameters.stop:
        body["stop"] = list(request.parameters.stop)
    if request.max_tokens_name is not None and "max_tokens" in body:
        body[request.max_tokens_name] = body.pop("max_tokens")
    return body


def _plain(message: Message) -> dict[str, Any]:
    sent = {"role": message.role, "content": message.content}
    if message.name is not None:
        sent["name"] = message.name
    return sent


def _sent(message: Message) -> Iterator[dict[str, Any]]:
    """Yield a message with parts as one, after a message for each tool's result."""
    name = {} if message.name is None else {"name": message.name}
    for part in message.parts:
        if isinstance(part, ToolResult):
            result = {"tool_call_id": part.call_id, "content": part.text}
            yield {"role": "tool", **result, **(name if message.role == "tool" else {})}
    said = [part for part in message.parts if not isinstance(part, ToolResult)]
    if message.role == "assistant":
        yield {"role": "assistant", **_assistants(said), **name}
    elif said:
        yield {"role": message.role, "content": said_in(said), **name}


def _assistants(parts: Sequence[Part]) -> dict[str, Any]:
    """
    Return the fields of what a model said.

    Its reasoning is left out: some servers refuse it, and others do not read it.
    """
    text = "".join([part.text for part in parts if isinstance(part, Text)])
    refusal = "".join([part.text for part in parts if isinstance(part, Refusal)])
    calls = [_call(part) for part in parts if isinstance(part, ToolCall)]
    fields: dict[str, Any] = {"content": text}
    if not text and (calls or refusal):
        fields["content"] = None
    if refusal:
        fields["refusal"] = refusal
    if calls:
        fields["tool_calls"] = calls
    return fields


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.text}
    return {"id": call.call_id, "type": "function", "function": function}
