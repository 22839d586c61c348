"""The words of OpenAI's chat completions: requests, streamed events, refusals."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from pydantic_core import from_json

from llamakeep.domain import Usage
from llamakeep.errors import (
    LlamaKeepError,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.base import CompletionRequest, Finished
from llamakeep.providers.http import message_of

MAX_TEXT = 16 * 1024 * 1024
"""How many characters one answer may have."""

_PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
"""What stands for itself in a JSON string."""

_UNAVAILABLE = {502, 503, 521, 522, 523, 529}


def request_body(request: CompletionRequest) -> dict[str, Any]:
    """Return what to send for `request`: only what was asked for."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [
            {"role": message.role, "content": message.content}
            for message in request.messages
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update(request.parameters.given())
    if request.parameters.stop:
        body["stop"] = list(request.parameters.stop)
    return body


class CompletionReader:
    """Gathers one completion from its events."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._length = 0
        self._usage = Usage()
        self._model: object = None
        self._resolved_model: str | None = None
        self._mould: tuple[bytes, bytes] | None = None
        self.finish_reason: str | None = None
        self.is_done = False
        """Whether `[DONE]` was said."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the text is missing."""
        return self.is_done or self.finish_reason is not None

    def finished(self) -> Finished:
        """Return the last event."""
        return Finished(self.finish_reason, self._usage, self._resolved_model)

    def read_alike(self, blocks: Sequence[bytes], start: int) -> tuple[str, int]:
        """
        Return the text of the events that have nothing else than the one before.

        Nearly all events of a stream are such, and parsing them is most of its cost.

        Args:
            blocks: What stands between the empty lines of the stream.
            start: Where the first of them would be.

        Returns:
            Their text, and where the first other one is.

        Raises:
            ProviderAnswerInvalid: It is too long.
        """
        if self._mould is None:
            return "", start
        head, tail = self._mould
        first, last = len(head), -len(tail)
        texts: list[str] = []
        with suppress(UnicodeDecodeError):
            for block in islice(blocks, start, None):
                if not (
                    block.startswith(head)
                    and block.endswith(tail)
                    and _PLAIN.fullmatch(block, first, len(block) + last)
                ):
                    break
                texts.append(block[first:last].decode())
        return self._counted("".join(texts)), start + len(texts)

    def read(self, data: bytes) -> str:
        """
        Return the text that one event's data, or a whole completion, adds.

        Raises:
            ProviderAnswerInvalid: It has another shape.
            ProviderError: It is an error message.
        """
        self._mould = None
        if data == b"[DONE]":
            self.is_done = True
            return ""
        try:
            event = from_json(data)
        except ValueError as exc:
            raise self._invalid("is not JSON") from exc
        if not isinstance(event, dict):
            raise self._invalid("is not an object")
        if error := event.get("error"):
            message = message_of(error) or "it did not say why"
            raise ProviderError(f"{self._who} broke off its answer: {message}")
        if usage := event.get("usage"):
            self._usage = _usage(usage)
        if (model := event.get("model")) != self._model:
            self._model = model
            self._resolved_model = _label(model) or self._resolved_model
        choices = event.get("choices")
        if not isinstance(choices, list):
            raise self._invalid("has no choices")
        text = self._text(choices[0]) if choices else ""
        if not usage and self.finish_reason is None:
            self._mould = _mould_of(data, text)
        return text

    def _text(self, choice: Any) -> str:
        if not isinstance(choice, dict):
            raise self._invalid("has a choice that is not an object")
        if (reason := choice.get("finish_reason")) is not None:
            self.finish_reason = _label(reason) or self.finish_reason
        message = choice.get("delta") or choice.get("message") or {}
        if not isinstance(message, dict):
            raise self._invalid("has a message that is not an object")
        text = message.get("content") or ""
        if not isinstance(text, str):
            raise self._invalid("has a content that is not text")
        # PostgreSQL cannot keep this character.
        return self._counted(text.replace("\0", "\ufffd") if "\0" in text else text)

    def _counted(self, text: str) -> str:
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise self._invalid(f"is longer than {MAX_TEXT} characters")
        return text

    def _invalid(self, what: str) -> ProviderAnswerInvalid:
        return ProviderAnswerInvalid(
            f"{self._who} sent something that cannot be read: it {what}."
        )


def _mould_of(data: bytes, text: str) -> tuple[bytes, bytes] | None:
    """
    Return what surrounds the text in an event's block, if it is certain where that is.

    Without a backslash every string stands for itself; so a text that is there once, in
    quotes, is there as what it was parsed from.
    """
    said = b'"%b"' % text.encode()
    if not text or b"\\" in data or b"\n" in data or data.count(said) != 1:
        return None
    head, _, tail = data.partition(said)
    return b"data: " + head + b'"', b'"' + tail


def refusal(
    status: int, body: Any, *, who: str, model: str, retry_after: float | None
) -> LlamaKeepError:
    """Return the error that a response with another status than 200 means."""
    message = message_of(body)
    says = f": {message}" if message else "."
    error: LlamaKeepError
    match status:
        case 400 | 413 | 422:
            error = PromptRejected(f"{who} rejected the prompt{says}")
        case 404 if message and "model" in message.lower():
            error = PromptRejected(f"{who} does not serve the model {model!r}{says}")
        case 401 | 403:
            error = ProviderUnauthenticated(
                f"{who} does not accept this server's key ({status}). Its operator has "
                "to set LLAMAKEEP_OPENAI_API_KEY."
            )
        case 301 | 302 | 303 | 307 | 308 | 404 | 405:
            error = ProviderError(
                f"{who} has no chat completions there ({status}). Its operator has to "
                "set LLAMAKEEP_OPENAI_BASE_URL to the address that ends with `/v1`."
            )
        case 408 | 504:
            error = ProviderTimeout(f"{who} took too long ({status}).")
        case 402:
            error = ProviderError(f"{who} says that its account has no credit left.")
        case 429 if _code(body) == "insufficient_quota":  # OpenAI's 402
            error = ProviderError(f"{who} says that its account has no credit left.")
        case 429:
            error = ProviderRateLimited(
                f"{who} wants us to slow down{says}", retry_after=retry_after
            )
        case status if status in _UNAVAILABLE:
            error = ProviderUnavailable(
                f"{who} is not available ({status}).", retry_after=retry_after
            )
        case _:
            error = ProviderError(f"{who} failed ({status}).")
    return error


def _code(body: Any) -> Any:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _label(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return value[:200].replace("\0", "\ufffd")


def _usage(value: Any) -> Usage:
    if not isinstance(value, dict):
        return Usage()
    return Usage(
        input_tokens=_count(value.get("prompt_tokens")),
        output_tokens=_count(value.get("completion_tokens")),
    )


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value < 2**53 else None
