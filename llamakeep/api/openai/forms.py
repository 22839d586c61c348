"""Bodies and events of chat completions and legacy completions."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llamakeep.api.prompts.ids import id_of
from llamakeep.domain import (
    Part,
    Reasoning,
    Refusal,
    Run,
    RunStatus,
    Text,
    ToolCall,
    Usage,
)
from llamakeep.engine import ItemDelta, NextItem
from llamakeep.history.records import model_name
from llamakeep.providers.openai.sealed import DETAILS, EXTRA, Unsealed, unsealed

CHAT, LEGACY = "chatcmpl-", "cmpl-"
"""Prefixes of ids."""

_REASONS = {"stop", "length", "content_filter"}


def usage_of(usage: Usage) -> dict[str, Any] | None:
    """Return the usage in OpenAI's format, which needs both numbers."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    counts: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        thought = {"reasoning_tokens": usage.reasoning_tokens}
        counts["completion_tokens_details"] = thought
    return counts


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
    def delta(self, text: str, logprobs: str = "") -> dict[str, Any]:
        """Return the event for more text, with how likely its tokens were."""

    @abstractmethod
    def item(self, update: NextItem | ItemDelta) -> Iterator[dict[str, Any]]:
        """Yield the events for an item that begins, or grows and is no text."""

    def last(self, run: Run) -> Iterator[dict[str, Any]]:
        """Yield the event with the finish reason, and the usage if requested."""
        yield self._ending(run)
        yield from self.with_usage(run.usage)

    def with_usage(self, usage: Usage) -> Iterator[dict[str, Any]]:
        """Yield the event with the usage, if requested."""
        if self._includes_usage:
            yield self._event([], usage=usage_of(usage))

    @abstractmethod
    def _ending(self, run: Run) -> dict[str, Any]: ...

    def _event(
        self, choices: list[dict[str, Any]], *, usage: dict[str, Any] | None = None
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
        }


class ChatCompletion(ResponseFormat):
    """
    A chat completion and its chunks.

    Args:
        run: The run.
        includes_usage: Whether chunks have the usage.
        is_older: Whether calls have the form of a `function_call`; there is place for
            the first one only.
    """

    prefix, kind, event_kind = CHAT, "chat.completion", "chat.completion.chunk"

    def __init__(
        self, run: Run, *, includes_usage: bool = False, is_older: bool = False
    ) -> None:
        super().__init__(run, includes_usage=includes_usage)
        self._is_older = is_older
        self._field = "content"
        """The field of a chunk with more of a text or a refusal."""
        self._tokens = 0
        """How many tokens were sent with how likely they were."""
        self._calls = 0
        self._extra: dict[str, Mapping[str, Any]] = {}
        """What the client has to send back with calls, by their ids."""
        self._is_in_call = False

    def whole(self, run: Run) -> dict[str, Any]:
        """Return the body for a run that has ended."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": run.response,
            "refusal": None,
            "annotations": [],
        }
        choice = {
            "index": 0,
            "message": (
                message | said_of(run.output, is_older=self._is_older)
                if run.output
                else message
            ),
            "logprobs": _logprobs(tokens_of(run.output)) if run.output else None,
            "finish_reason": self._reason(run) if run.output else finish_reason_of(run),
        }
        return self._whole(choice, run)

    def first(self) -> Iterator[dict[str, Any]]:
        """Yield the event with the role."""
        yield self._choice({"role": "assistant", "content": "", "refusal": None})

    def delta(self, text: str, logprobs: str = "") -> dict[str, Any]:
        """Return the event for more of a text or a refusal."""
        event = self._choice({self._field: text})
        if logprobs:
            tokens = json.loads(f"[{logprobs}]")
            self._tokens += len(tokens)
            event["choices"][0]["logprobs"] = _logprobs(tokens)
        return event

    def item(self, update: NextItem | ItemDelta) -> Iterator[dict[str, Any]]:
        """Yield the event for a call that begins, or for more that is no text."""
        match update:
            case NextItem(ToolCall() as call):
                self._is_in_call = True
                self._calls += 1
                head = {"id": call.call_id, "type": "function"}
                extra = self._extra.pop(call.call_id, None)
                more = {} if extra is None else {EXTRA: extra}
                yield from self._call(_called(call), head, more)
            case NextItem(Reasoning(sealed=str()) as sealed):
                self._is_in_call = False
                found = unsealed([sealed])
                self._extra.update(found.extra_of_calls)
                delta: dict[str, Any] = {}
                if found.details:
                    delta[DETAILS] = found.details
                if found.extra is not None:
                    delta[EXTRA] = found.extra
                if delta:
                    yield self._choice(delta)
            case NextItem(item):
                self._is_in_call = False
                self._field = "refusal" if isinstance(item, Refusal) else "content"
            case ItemDelta(text) if self._is_in_call:
                yield from self._call({"arguments": text})
            case ItemDelta(text):
                yield self._choice({"reasoning_content": text})

    def _call(
        self,
        function: dict[str, Any],
        head: Mapping[str, Any] = MappingProxyType({}),
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> Iterator[dict[str, Any]]:
        if not self._is_older:
            index = self._calls - 1
            call = {"index": index, **head, "function": function, **more}
            yield self._choice({"tool_calls": [call]})
        elif self._calls == 1:
            yield self._choice({"function_call": function})

    def last(self, run: Run) -> Iterator[dict[str, Any]]:
        """Yield what `ResponseFormat.last` does, after logprobs that were not sent."""
        if run.output and (rest := tokens_of(run.output)[self._tokens :]):
            event = self._choice({})
            event["choices"][0]["logprobs"] = _logprobs(rest)
            yield event
        yield from super().last(run)

    def _ending(self, run: Run) -> dict[str, Any]:
        reason = self._reason(run) if run.output else finish_reason_of(run)
        return self._choice({}, reason)

    def _reason(self, run: Run) -> str | None:
        reason = finish_reason_of(run)
        if reason == "stop" and any(isinstance(item, ToolCall) for item in run.output):
            return "function_call" if self._is_older else "tool_calls"
        return reason

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


def tokens_of(output: Sequence[Part]) -> list[dict[str, Any]]:
    """Return how likely the tokens of an answer's texts were, as far as it is known."""
    tokens: list[dict[str, Any]] = []
    for item in output:
        if isinstance(item, Text) and item.logprobs:
            tokens += json.loads(item.logprobs)
    return tokens


def _logprobs(tokens: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"content": tokens, "refusal": None} if tokens else None


def said_of(output: Sequence[Part], *, is_older: bool = False) -> dict[str, Any]:
    """
    Return the fields of an assistant's message that is more than text.

    Args:
        output: Its parts.
        is_older: As of `ChatCompletion`.
    """
    said: dict[str, Any] = {
        "content": _joined(output, Text),
        "refusal": _joined(output, Refusal),
    }
    if thoughts := _joined(output, Reasoning):
        said["reasoning_content"] = thoughts
    sealed = unsealed(output)
    if sealed.details:
        said[DETAILS] = sealed.details
    if sealed.extra is not None:
        said[EXTRA] = sealed.extra
    calls = [item for item in output if isinstance(item, ToolCall)]
    if calls and is_older:
        said["function_call"] = _called(calls[0])
    elif calls:
        said["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": _called(call)}
            | _extra(sealed, call)
            for call in calls
        ]
    return said


def _extra(sealed: Unsealed, call: ToolCall) -> dict[str, Any]:
    """Return what the client has to send back with a call, if there is anything."""
    extra = sealed.extra_of_calls.get(call.call_id)
    return {} if extra is None else {EXTRA: extra}


def _joined(output: Sequence[Part], kind: type[Part]) -> str | None:
    """Return the text of all items of a kind; `None` if there is none."""
    return "".join([item.text for item in output if isinstance(item, kind)]) or None


def _called(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": call.text}


class LegacyCompletion(ResponseFormat):
    """A legacy completion; its events have the same format."""

    prefix, kind, event_kind = LEGACY, "text_completion", "text_completion"

    def whole(self, run: Run) -> dict[str, Any]:
        """Return the body for a run that has ended."""
        return self._whole(_legacy_choice(run.response, finish_reason_of(run)), run)

    def first(self) -> Iterator[dict[str, Any]]:
        """Yield nothing, since there is no role."""
        yield from ()

    def delta(self, text: str, logprobs: str = "") -> dict[str, Any]:  # noqa: ARG002 - there are none
        """Return the event for more text."""
        return self._event([_legacy_choice(text)])

    def item(self, _: NextItem | ItemDelta) -> Iterator[dict[str, Any]]:
        """Yield nothing, since there is text only."""
        yield from ()

    def _ending(self, run: Run) -> dict[str, Any]:
        return self._event([_legacy_choice("", finish_reason_of(run))])


def _legacy_choice(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
