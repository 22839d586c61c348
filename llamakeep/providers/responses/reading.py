"""Reads a response, from the events of its streams and from copies of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from llamakeep.domain import Reasoning, Refusal, Text, Usage
from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderError,
)
from llamakeep.providers.base import Finished, Logprobs
from llamakeep.providers.http import retry_after
from llamakeep.providers.json_text import Joiner
from llamakeep.providers.openai.chat_completions import MAX_LOGPROBS, MAX_TEXT
from llamakeep.providers.openai.deltas import CallPiece, count, label
from llamakeep.providers.openai.events import as_dict, reason_of
from llamakeep.providers.openai.items import Items, Said, joined
from llamakeep.providers.openai.logprobs import logprobs_in
from llamakeep.providers.openai.refusals import Reason, broken_off
from llamakeep.providers.openai.sealed import Sealed, sealed_encrypted
from llamakeep.providers.responses.parts import (
    CALL,
    CONTENT,
    MOST_PARTS,
    SEALED,
    SUMMARY,
    Key,
    Made,
    OtherText,
    Parts,
    TooManyParts,
    call_in,
)

_ENDED = {"completed", "incomplete", "failed", "cancelled", "canceled"}
_ENDINGS = {f"response.{status}": status for status in _ENDED}
_REASONS = {"max_output_tokens": "length", "max_tokens": "length"}
_GROWTH: Mapping[str, tuple[int, Made, str, str]] = {
    "response.output_text": (CONTENT, Text, "content_index", "text"),
    "response.refusal": (CONTENT, Refusal, "content_index", "refusal"),
    "response.reasoning_text": (CONTENT, Reasoning, "content_index", "text"),
    "response.reasoning": (CONTENT, Reasoning, "content_index", "text"),
    "response.reasoning_summary_text": (SUMMARY, Reasoning, "summary_index", "text"),
    "response.function_call_arguments": (CALL, CallPiece, "", "arguments"),
}
"""By the beginnings of events' names: what grows, its place, and its whole text."""
_PARTS: Mapping[str, tuple[Made, str]] = {
    "output_text": (Text, "text"),
    "text": (Text, "text"),
    "refusal": (Refusal, "refusal"),
    "reasoning_text": (Reasoning, "text"),
    "summary_text": (Reasoning, "text"),
}
"""By the types of parts: what they are, and where their text is."""
_LONGEST_ID = 128
"""Characters of a response's id: what finds a run's answer again may have as many."""


class ResponseReader:
    """
    Gathers one response, whose server error messages call `who`.

    What cannot change the meaning of an answer is read leniently: events and items that
    are not known are nothing.
    """

    def __init__(
        self,
        who: str,
        *,
        model: str = "",
        secret: str | None = None,
        run_id: str = "",
        has_logprobs: bool = False,
    ) -> None:
        self._who = who
        self._asked_model = model
        self._secret = secret
        self._has_logprobs = has_logprobs
        self._parts = Parts()
        self._items = Items(run_id, Joiner(), self._invalid, has_begun=False)
        self._response: Mapping[str, Any] = {}
        """The newest copy that was seen, without its output."""
        self._likely: list[str] = []
        self._length_of_logprobs = 0
        self._is_numbered = True
        self.id: str | None = None
        self.status: str | None = None
        self.last_number: int | None = None
        """The number of the last event, if all had numbers that grew."""
        self.failure: LlamaKeepError | None = None
        """What an event said that is an error: the stream ends, not the response."""

    @property
    def is_over(self) -> bool:
        """Whether the response has ended."""
        return self.status in _ENDED

    @property
    def resolved_model(self) -> str | None:
        """The model that its server names."""
        return label(self._response.get("model"))

    def rewind(self) -> None:
        """Read a stream that begins at its first event."""
        self._parts.rewind()
        self.last_number, self._is_numbered, self.failure = None, True, None

    def read(self, event: Any) -> Said:
        """
        Return what one event adds.

        Raises:
            ProviderAnswerInvalid: It contradicts what came before, or there is too
                much.
        """
        if not isinstance(event, dict):
            return ""
        kind = event.get("type")
        if not isinstance(kind, str):
            # Where no event was to come: the error of a proxy, or of the server.
            kind = "error" if event.get("error") else ""
        if kind == "response.created" and self._is_known(event):
            self.rewind()  # `starting_after` is not heeded there
        self._number(event, kind)
        try:
            if kind == "error":
                self.failure = self._broken_off(event)
            elif kind in _ENDINGS:
                return self._end(event.get("response"), _ENDINGS[kind])
            elif "response" in event:
                self._note(event["response"])
            else:
                self._grow(kind, event)
        except OtherText:
            raise self._other_text() from None
        except TooManyParts:
            raise self._invalid(f"has more than {MOST_PARTS} parts") from None
        return self._take()

    def read_copy(self, response: Any) -> Said:
        """
        Return what a copy of the response adds, which was asked for.

        Raises:
            ProviderAnswerInvalid: It is none, or contradicts what came before.
        """
        if not isinstance(response, dict) or not isinstance(
            response.get("status"), str
        ):
            raise self._invalid("is not a response")
        if self.id is not None and response.get("id") != self.id:
            raise self._invalid("is another response than the one that was asked for")
        try:
            if response["status"] in _ENDED:
                return self._end(response, response["status"], is_copy=True)
            self._note(response)
            self._read_output(response.get("output"), is_over=False)
        except OtherText:
            raise self._other_text() from None
        except TooManyParts:
            raise self._invalid(f"has more than {MOST_PARTS} parts") from None
        return self._take()

    def finished(self) -> Finished:
        """
        Return the last event of a response that is over.

        Raises:
            LlamaKeepError: It was not answered.
        """
        response = self._response
        if self.status == "failed":
            raise self._broken_off({"error": response.get("error") or {}})
        if self.status not in {"completed", "incomplete"}:
            raise ProviderError(
                f"The response was canceled at {self._who[:1].lower()}{self._who[1:]}; "
                "the text so far is kept."
            )
        reason = "tool_calls" if self._parts.has_calls else "stop"
        if self.status == "incomplete":
            details = as_dict(response.get("incomplete_details"))
            said = reason_of(details.get("reason")) or "length"
            reason = _REASONS.get(said, said)
        usage = as_dict(response.get("usage"))
        read = as_dict(usage.get("input_tokens_details"))
        made = as_dict(usage.get("output_tokens_details"))
        known = Usage(
            count(usage, "input_tokens", "prompt_tokens"),
            count(usage, "output_tokens", "completion_tokens"),
            cached_tokens=count(read, "cached_tokens"),
            reasoning_tokens=count(made, "reasoning_tokens"),
        )
        return Finished(reason, known, self.resolved_model)

    def _is_known(self, event: dict[str, Any]) -> bool:
        """Return whether an event was read before, by its number."""
        number = event.get("sequence_number")
        return (
            type(number) is int
            and self.last_number is not None
            and number <= self.last_number
        )

    def _number(self, event: dict[str, Any], kind: str) -> None:
        number = event.get("sequence_number")
        if kind == "error" or (number is None and not kind.startswith("response.")):
            return  # it may have the number of the event before it, or none
        is_next = type(number) is int and number > (
            -1 if self.last_number is None else self.last_number
        )
        self._is_numbered = self._is_numbered and is_next
        self.last_number = number if self._is_numbered else None

    def _note(self, response: Any) -> None:
        if not isinstance(response, dict):
            return
        found = response.get("id")
        if self.id is None and isinstance(found, str):
            if not 0 < len(found) <= _LONGEST_ID or not found.isprintable():
                raise self._invalid("has an id that is none")
            self.id = found
        elif isinstance(found, str) and found != self.id:
            raise self._invalid("is of another response than the one that was begun")
        status = response.get("status")
        if isinstance(status, str) and not self.is_over:
            self.status = status
        self._response = {**response, "output": None}

    def _end(self, response: Any, status: str, *, is_copy: bool = False) -> Said:
        """Take in how the response ended."""
        self._note(response)
        stated = as_dict(response).get("status")
        # OpenAI has no event for one that was canceled.
        self.status = stated if stated in _ENDED else status
        # A stream has said all; a copy in it may leave out some, or number otherwise.
        if is_copy or not len(self._parts):
            self._read_output(as_dict(response).get("output"), is_over=True)
        is_whole = self.status in {"completed", "incomplete"}
        said = self._take(is_over=True)
        return joined([said, self._items.end(is_whole=is_whole)])

    def _grow(self, kind: str, event: dict[str, Any]) -> None:
        beginning, _, end = kind.rpartition(".")
        number = _index(event, "output_index")
        if (known := _GROWTH.get(beginning)) is not None:
            which, make, index_name, field = known
            key = Key(number, which, _index(event, index_name))
            if end == "delta" and isinstance(delta := event.get("delta"), str):
                self._note_logprobs(event)
                self._parts.grow(key, make, delta)
            elif end == "done" and isinstance(whole := event.get(field), str):
                self._parts.complete(key, make, whole, is_done=True)
        elif beginning == "response.content_part" and end == "done":
            index = _index(event, "content_index")
            self._read_part(Key(number, CONTENT, index), event.get("part"), True)
        elif beginning == "response.output_item":
            self._read_item(number, event.get("item"), is_done=end == "done")

    def _read_output(self, output: Any, *, is_over: bool) -> None:
        items = output if isinstance(output, list) else []
        for number, item in enumerate(items):
            status = as_dict(item).get("status")
            is_open = number == len(items) - 1 and status == "in_progress"
            self._read_item(number, item, is_done=is_over or not is_open)

    def _read_item(self, number: int, item: Any, *, is_done: bool) -> None:
        match item:
            case {"type": "function_call"}:
                key = Key(number, CALL)
                self._parts.begin(key, CallPiece, call_in(item, number))
                if isinstance(whole := item.get("arguments"), str):
                    self._parts.complete(key, CallPiece, whole, is_done=is_done)
            case {"type": "message" | "reasoning"}:
                for place, field in ((SUMMARY, "summary"), (CONTENT, "content")):
                    parts = item.get(field)
                    for index, part in enumerate(
                        parts if isinstance(parts, list) else ()
                    ):
                        self._read_part(Key(number, place, index), part, is_done)
                sealed = sealed_encrypted(item) if is_done else None
                if sealed is not None:
                    key = Key(number, SEALED)
                    self._parts.complete(key, Sealed, sealed.text, is_done=True)
        if is_done:
            self._parts.close(number)

    def _read_part(self, key: Key, part: Any, is_done: bool) -> None:
        kind = as_dict(part).get("type")
        known = _PARTS.get(kind) if isinstance(kind, str) else None
        if known is not None and isinstance(whole := part.get(known[1]), str):
            self._parts.complete(key, known[0], whole, is_done=is_done)

    def _note_logprobs(self, event: dict[str, Any]) -> None:
        if self._has_logprobs:
            found = logprobs_in({"logprobs": {"content": event.get("logprobs")}})
            self._length_of_logprobs += len(found)
            if self._length_of_logprobs > MAX_LOGPROBS:
                raise self._invalid(
                    f"has logprobs of more than {MAX_LOGPROBS} characters"
                )
            self._likely += [found] if found else []

    def _take(self, *, is_over: bool = False) -> Said:
        if self._parts.length > MAX_TEXT:
            raise self._invalid(f"is longer than {MAX_TEXT} characters")
        pieces = self._parts.take(is_over=is_over)
        if not pieces:
            return ""
        self._items.add(pieces)
        said = self._items.take()
        if self._likely and said:
            likely, self._likely = ",".join(self._likely), []
            return joined([[Logprobs(likely)], said])
        return said

    def _broken_off(self, event: dict[str, Any]) -> LlamaKeepError:
        return broken_off(
            Reason.read(event, self._secret),
            who=self._who,
            model=self._asked_model,
            retry_after=retry_after(None, event),
        )

    def _other_text(self) -> ProviderAnswerInvalid:
        error = ProviderAnswerInvalid(
            f"{self._who} said something else of the response than it had said before."
        )
        error.answer_may_exist = True
        return error

    def _invalid(self, what: str) -> ProviderAnswerInvalid:
        return ProviderAnswerInvalid(
            f"{self._who} sent something that cannot be read: it {what}."
        )


def _index(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if type(value) is int and value >= 0 else 0


def growths_of(said: Said) -> Sequence[Any]:
    """Return what was said, one growth after the other."""
    return ([said] if said else ()) if isinstance(said, str) else said
