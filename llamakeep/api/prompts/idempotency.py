"""
Idempotency keys: recognising a repeated request.

The digest is taken of the body that the client sent, so that it stays the same when
request models get more fields.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import to_json

from llamakeep.domain import Image, NewRun, Reasoning, ToolCall, ToolResult
from llamakeep.errors import LlamaKeepError
from llamakeep.storage.runs.lookups import IdempotencyKey

_DELIVERY_FIELDS = {"stream", "stream_options", "background"}
"""Fields that change how a response is sent, not what it is."""

_PARAMETERS = (
    "max_tokens",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "response_format",
)
_OLDER_PARAMETERS = frozenset(_PARAMETERS)
_PROMPT_FIELDS = {
    "prompt",
    "model",
    "system_prompt",
    "conversation_id",
    *_PARAMETERS[:-1],
    "metadata",
    "stream",
    "background",
}


async def key_of(
    request: Request,
    given: str | None,
    body: BaseModel,
    asked: Callable[[], NewRun] | None = None,
) -> IdempotencyKey | None:
    """
    Return the request's idempotency key with the digest of its body.

    For paths that accepted keys in older versions, `asked` returns the prompt, of which
    those stored the digest.
    """
    if given is None:
        return None
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    path = path.rstrip("/")
    sent = path.encode() + b"\n" + _canonical(await request.body())

    def older_digest() -> bytes:
        if path == "/prompt":
            return b"" if _is_newer_own(body) else sha256(_older_own(body)).digest()
        if asked is None:
            return b""
        try:
            new = asked()
        except LlamaKeepError:
            return b""  # the conversation or run that it refers to is gone
        if _is_newer(new):
            return b""
        return sha256(path.encode() + b"\n" + _older(new)).digest()

    return IdempotencyKey(given, sha256(sent).digest(), older_digest)


def _canonical(sent: bytes) -> bytes:
    """Return JSON in a canonical form, without fields that change nothing."""
    try:
        body = json.loads(sent)
        said = {
            name: int(value) if isinstance(value, float) and value % 1 == 0 else value
            for name, value in body.items()
            if name not in _DELIVERY_FIELDS and not _is_empty(value)
        }
        if body.get("parallel_tool_calls") is False and body.get("tools"):
            said["parallel_tool_calls"] = False  # without tools, it says nothing
        if body.get("store") is False:
            said["store"] = False
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        # A field that is not validated is nested too deeply, or has a huge number.
        return sent


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ([], {})


def _older_own(body: BaseModel) -> bytes:
    """Return what older versions took the digest of, at `/prompt/`."""
    fields = _PROMPT_FIELDS | {"webhook"} if _has_webhook(body) else _PROMPT_FIELDS
    said = body.model_dump(include=fields)
    instead: Mapping[str, Any] = {"metadata": {}, "stream": False, "background": False}
    return to_json(
        {
            name: instead.get(name) if value is None else value
            for name, value in said.items()
        }
    )


def _is_newer_own(body: BaseModel) -> bool:
    """Return whether a request at `/prompt/` has fields that older versions refused."""
    more = body.model_dump(exclude=_PROMPT_FIELDS | {"webhook"}, exclude_none=True)
    return "store" in more or not all(map(_is_empty, more.values()))


def _has_webhook(body: BaseModel) -> bool:
    return getattr(body, "webhook", None) is not None


def _is_newer(asked: NewRun) -> bool:
    """Return whether a request has what the older versions refused."""
    last = asked.last_message
    parameters = asked.parameters.given()
    if parameters.get("reasoning_effort") == "none":
        del parameters["reasoning_effort"]  # they took it, and ignored it
    parameters.pop("echoed", None)  # they ignored most of it
    return (
        (last is not None and (last.role != "user" or bool(last.parts)))
        or not _OLDER_PARAMETERS.issuperset(parameters)
        or any(
            isinstance(part, Reasoning | ToolCall | ToolResult | Image)
            for message in asked.prior_messages
            for part in message.parts
        )
    )


def _older(asked: NewRun) -> bytes:
    """Return what older versions took the digest of, in OpenAI's API."""
    said: Mapping[str, Any] = {
        "prompt": asked.prompt,
        "model": asked.model,
        "system_prompt": asked.system_prompt,
        "inherits_system_prompt": asked.inherits_system_prompt,
        "conversation_id": asked.conversation_id,
        "previous_run_id": asked.previous_run_id,
        "earlier": [
            {"role": message.role, "content": message.content}
            for message in asked.prior_messages
        ],
        "parameters": {name: getattr(asked.parameters, name) for name in _PARAMETERS},
        "metadata": asked.metadata,
        "notifications": [],
    }
    return to_json(said)
