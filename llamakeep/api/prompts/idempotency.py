"""
What makes a repeated request the same one.

The digest is made of what the client sent, so that it stays what it is when request
models and what is made of them get more fields.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import to_json

from llamakeep.domain import Asked
from llamakeep.errors import LlamaKeepError
from llamakeep.storage.runs.steps import IdempotencyKey

_HOW_IT_IS_SENT = {"stream", "stream_options", "background"}
"""Fields that change how an answer is sent, not what it is."""

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
    asked: Callable[[], Asked] | None = None,
) -> IdempotencyKey | None:
    """
    Return what makes a request the same as an earlier one at its path.

    Args:
        request: What came.
        given: Its header `Idempotency-Key`.
        body: What was sent.
        asked: Returns what is asked for; only older rows are compared with that, where
            the path had keys then.
    """
    if given is None:
        return None
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    path = path.rstrip("/")
    sent = path.encode() + b"\n" + _canonical(await request.body())

    def older_digest() -> bytes:
        if path == "/prompt":
            return sha256(_older_own(body)).digest()
        if asked is None:
            return b""
        try:
            older = _older(asked())
        except LlamaKeepError:
            return b""  # what it refers to is gone
        return sha256(path.encode() + b"\n" + older).digest()

    return IdempotencyKey(given, sha256(sent).digest(), older_digest)


def _canonical(sent: bytes) -> bytes:
    """Return JSON in the one way in which it can be compared."""
    try:
        body = json.loads(sent)
        said = {
            name: int(value) if isinstance(value, float) and value % 1 == 0 else value
            for name, value in body.items()
            if name not in _HOW_IT_IS_SENT and not _says_nothing(value)
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        # A number with thousands of digits, or too deep, in what is not looked at.
        return sent


def _says_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], {})


def _older_own(body: BaseModel) -> bytes:
    """Return what the digest of a prompt is made of in older rows."""
    fields = _PROMPT_FIELDS | {"webhook"} if _has_webhook(body) else _PROMPT_FIELDS
    said = body.model_dump(include=fields)
    instead: Mapping[str, Any] = {"metadata": {}, "stream": False, "background": False}
    return to_json(
        {
            name: instead.get(name) if value is None else value
            for name, value in said.items()
        }
    )


def _has_webhook(body: BaseModel) -> bool:
    return getattr(body, "webhook", None) is not None


def _older(asked: Asked) -> bytes:
    """Return what the digest of a request of OpenAI's is made of in older rows."""
    said: Mapping[str, Any] = {
        "prompt": asked.prompt,
        "model": asked.model,
        "system_prompt": asked.system_prompt,
        "inherits_system_prompt": asked.inherits_system_prompt,
        "conversation_id": asked.conversation_id,
        "previous_run_id": asked.previous_run_id,
        "earlier": [
            {"role": message.role, "content": message.content}
            for message in asked.earlier
        ],
        "parameters": {name: getattr(asked.parameters, name) for name in _PARAMETERS},
        "metadata": asked.metadata,
        "notifications": [],
    }
    return to_json(said)
