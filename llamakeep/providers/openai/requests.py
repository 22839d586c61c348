"""What is sent to servers that speak OpenAI's chat completions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from llamakeep.domain import (
    Image,
    MaxTokensName,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import Part, said_in
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.images import NO_IMAGES, url_of
from llamakeep.providers.openai.sealed import DETAILS, EXTRA, unsealed


class Wording(NamedTuple):
    """How a model wants requests to be written; it says so in refusals."""

    max_tokens_name: MaxTokensName | None = None
    """`None` for the name of the client's request."""
    has_reasoning: bool = False
    """Whether it wants to read what it thought; most do not, and some refuse it."""
    has_sealed: bool = True
    """Whether it takes back what it gave to be handed back."""
    takes_base64: bool = True
    """Whether it may be asked for vectors in base64."""


USUAL = Wording()
_NO_REASONING = " "
"""Models that want to read what they thought refuse an empty text as well."""


def request_body(
    request: CompletionRequest,
    wording: Wording = USUAL,
    urls: Mapping[str, str] = NO_IMAGES,
) -> dict[str, Any]:
    """
    Return what to send for `request`: only what was asked for.

    Args:
        request: The request.
        wording: How its model wants it to be written.
        urls: What `data_urls` returned.
    """
    messages = _messages(request.messages, wording, urls)
    if wording.has_reasoning:
        for sent in messages:
            if sent["role"] == "assistant":
                sent.setdefault("reasoning_content", _NO_REASONING)
    given = request.parameters.given()
    extra_fields = given.pop("extra_fields", {})
    given.pop("truncation", None)
    body: dict[str, Any] = {
        **extra_fields,
        "model": request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update(given)
    if request.parameters.stop:
        body["stop"] = list(request.parameters.stop)
    name = wording.max_tokens_name or request.max_tokens_name
    if name is not None and "max_tokens" in body:
        body[name] = body.pop("max_tokens")
    return body


def shortened(request: CompletionRequest) -> CompletionRequest | None:
    """
    Return a request without the older half of what was said, if that may be left out.

    What is left begins with a user's message, after the system prompt.
    """
    if request.parameters.truncation != "auto":
        return None
    messages = request.messages
    first = 0
    while messages[first].role == "system" and first + 1 < len(messages):
        first += 1
    middle = (first + len(messages) + 1) // 2
    begin = 0
    for at in range(first + 1, len(messages)):
        if messages[at].role == "user":
            begin = at
            if at >= middle:
                break
    if not begin:
        return None
    return replace(request, messages=(*messages[:first], *messages[begin:]))


def _messages(
    given: Sequence[Message], wording: Wording, urls: Mapping[str, str]
) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    returned: list[Image] = []
    """Images that tools returned, whose results are text: they follow the last one."""
    for at, message in enumerate(given):
        if returned and message.role != "tool":
            messages.append({"role": "user", "content": _content(returned, urls)})
            returned = []
        if not message.parts:
            messages.append(_plain(message))
            continue
        parts = answered_parts(message, given, at + 1)
        if message.role == "tool":
            returned += [part for part in parts if isinstance(part, Image)]
            parts = [part for part in parts if not isinstance(part, Image)]
        messages.extend(_sent(message, parts, wording, urls))
    if returned:
        messages.append({"role": "user", "content": _content(returned, urls)})
    return messages


def _plain(message: Message) -> dict[str, Any]:
    sent = {"role": message.role, "content": message.content}
    if message.name is not None:
        sent["name"] = message.name
    return sent


def answered_parts(
    message: Message, messages: Sequence[Message], after: int
) -> Sequence[Part]:
    """
    Return the parts of a message without the tool calls that no result follows.

    Servers refuse them, and some came uncalled for, or broke off. Those of the last
    message stay.
    """
    if after == len(messages) or not _calls_in(message.parts):
        return message.parts
    results = set()
    for one in islice(messages, after, None):
        found = [part for part in one.parts if isinstance(part, ToolResult)]
        results.update([part.call_id for part in found])
        if not found:
            break
    unanswered = [
        part for part in _calls_in(message.parts) if part.call_id not in results
    ]
    return [part for part in message.parts if part not in unanswered]


def _calls_in(parts: Sequence[Part]) -> Sequence[ToolCall]:
    return [part for part in parts if isinstance(part, ToolCall)]


def _sent(
    message: Message,
    parts: Sequence[Part],
    wording: Wording,
    urls: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Yield a message of some parts as one, after one for each tool's result."""
    name = {} if message.name is None else {"name": message.name}
    for part in parts:
        if isinstance(part, ToolResult):
            result = {"tool_call_id": part.call_id, "content": part.told}
            yield {"role": "tool", **result, **(name if message.role == "tool" else {})}
    said = [part for part in parts if not isinstance(part, ToolResult)]
    if message.role == "assistant":
        fields = _assistants(said)
        if wording.has_reasoning and (thoughts := _joined(said, Reasoning)):
            fields["reasoning_content"] = thoughts
        if wording.has_sealed and has_sealed(said):
            _unseal(fields, said)
        yield {"role": "assistant", **fields, **name}
    elif any(isinstance(part, Image) for part in said):
        yield {"role": message.role, "content": _content(said, urls), **name}
    elif said:
        yield {"role": message.role, "content": said_in(said), **name}


def _content(parts: Sequence[Part], urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return parts, among which are images, as a message's content has them."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Image):
            image = {"url": url_of(part, urls)}
            if part.detail is not None:
                image["detail"] = part.detail
            content.append({"type": "image_url", "image_url": image})
        elif part.text:
            content.append({"type": "text", "text": part.text})
    return content


def _assistants(parts: Sequence[Part]) -> dict[str, Any]:
    text, refusal = _joined(parts, Text), _joined(parts, Refusal)
    calls = [_call(part) for part in _calls_in(parts)]
    fields: dict[str, Any] = {"content": text}
    if not text and (calls or refusal):
        fields["content"] = None
    if refusal:
        fields["refusal"] = refusal
    if calls:
        fields["tool_calls"] = calls
    return fields


def has_sealed(parts: Sequence[Part]) -> bool:
    """Return whether a server wants something of a message back."""
    return any(isinstance(part, Reasoning) and part.sealed for part in parts)


def _unseal(fields: dict[str, Any], parts: Sequence[Part]) -> None:
    found = unsealed(parts)
    if found.details:
        fields[DETAILS] = found.details
    if found.extra is not None:
        fields[EXTRA] = found.extra
    for call in fields.get("tool_calls", ()):
        if (extra := found.extra_of_calls.get(call["id"])) is not None:
            call[EXTRA] = extra


def _joined(parts: Sequence[Part], kind: type[Part]) -> str:
    return "".join([part.text for part in parts if isinstance(part, kind)])


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.text}
    return {"id": call.call_id, "type": "function", "function": function}
