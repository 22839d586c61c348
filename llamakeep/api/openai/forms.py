"""Bodies and events of chat completions and legacy completions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from llamakeep.api.openai.ids import id_of
from llamakeep.domain import Run, RunStatus, Usage
from llamakeep.history.records import model_name

CHAT, LEGACY = "chatcmpl-", "cmpl-"
"""Prefixes of ids."""

_REASONS = {"stop", "length", "content_filter"}


def usage_of(usage: Usage) -> dict[str, int] | None:
    """Return the usage in OpenAI's format, which needs both numbers."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def finish_reason_of(run: Run) -> str | None:
    """Return OpenAI's finish reason; `None` unless the run succeeded."""
    if run.status is not RunStatus.SUCCEEDED:
        return None
    return run.finish_reason if run.finish_reason in _REASONS else "stop"


class ResponseFormat(ABC):
    """The bodies and events of one of OpenAI's APIs."""

    prefix: str
    kind: str
    event_kind: str

    def __init__(self, run: Run, *, includes_usage: bool = False) -> None:
        self._id = id_of(run, self.prefix)
        self._created = int(run.created_at.timestamp())
        self._model = model_name(run)
        self._includes_usage = includes_usage

    @abstractmethod
    def whole(self, run: Run) -> dict[str, Any]:
        """Return the body for a run that has ended."""

    @abstractmethod
    def first(self) -> Iterator[dict[str, Any]]:
        """Yield the events before the first text."""

    @abstractmethod
    def delta(self, text: str) -> dict[str, Any]:
        """Return the event for more text."""

    def last(self, run: Run) -> Iterator[dict[str, Any]]:
        """Yield the event with the finish reason, and the usage if requested."""
        yield self._ending(finish_reason_of(run))
        if self._includes_usage:
            yield self._event([], usage=usage_of(run.usage))

    @abstractmethod
    def _ending(self, reason: str | None) -> dict[str, Any]: ...

    def _event(
        self, choices: list[dict[str, Any]], *, usage: dict[str, int] | None = None
    ) -> dict[str, Any]:
        event = self._beginning(self.event_kind) | {"choices": choices}
        if self._includes_usage:
            event["usage"] = usage
        return event

    def _whole(self, choice: dict[str, Any], run: Run) -> dict[str, Any]:
        return self._beginning(self.kind) | {
            "choices": [choice],
            "usage": usage_of(run.usage),
        }

    def _beginning(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
        }


class ChatCompletion(ResponseFormat):
    """A chat completion and its chunks."""

    prefix, kind, event_kind = CHAT, "chat.completion", "chat.completion.chunk"

    def whole(self, run: Run) -> dict[str, Any]:
        """Return the body for a run that has ended."""
        choice = {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": run.response,
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": finish_reason_of(run),
        }
        return self._whole(choice, run)

    def first(self) -> Iterator[dict[str, Any]]:
        """Yield the event with the role."""
        yield self._choice({"role": "assistant", "content": "", "refusal": None})

    def delta(self, text: str) -> dict[str, Any]:
        """Return the event for more text."""
        return self._choice({"content": text})

    def _ending(self, reason: str | None) -> dict[str, Any]:
        return self._choice({}, reason)

    def _choice(
        self, delta: dict[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": reason,
        }
        return self._event([choice])


class LegacyCompletion(ResponseFormat):
    """A legacy completion; its events have the same format."""

    prefix, kind, event_kind = LEGACY, "text_completion", "text_completion"

    def whole(self, run: Run) -> dict[str, Any]:
        """Return the body for a run that has ended."""
        return self._whole(_legacy_choice(run.response, finish_reason_of(run)), run)

    def first(self) -> Iterator[dict[str, Any]]:
        """Yield nothing, since there is no role."""
        yield from ()

    def delta(self, text: str) -> dict[str, Any]:
        """Return the event for more text."""
        return self._event([_legacy_choice(text)])

    def _ending(self, reason: str | None) -> dict[str, Any]:
        return self._event([_legacy_choice("", reason)])


def _legacy_choice(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
