"""Reads the events of OpenAI's chat completions, and whole ones."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from llamakeep.domain import Reasoning, Text, Usage
from llamakeep.errors import LlamaKeepError, ProviderAnswerInvalid, ProviderError
from llamakeep.providers.base import Finished, ItemText, Logprobs
from llamakeep.providers.http import message_of, retry_after
from llamakeep.providers.json_text import Joiner, read_event_json
from llamakeep.providers.openai.deltas import (
    CallPiece,
    Parts,
    Piece,
    count,
    label,
    parts_of,
)
from llamakeep.providers.openai.events import (
    IN_A_CHOICE,
    as_dict,
    event_template_of,
    has_error,
    later,
    reason_of,
)
from llamakeep.providers.openai.items import Items, Said, joined
from llamakeep.providers.openai.logprobs import logprobs_in
from llamakeep.providers.openai.other_formats import OtherFormat, other_format
from llamakeep.providers.openai.refusals import Reason, broken_off

MAX_TEXT = 16 * 1024 * 1024
"""How many characters one answer may have."""

MAX_LOGPROBS = 16 * 1024 * 1024
"""How many characters the JSON of one answer's logprobs may have."""

_PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
"""What stands for itself in a JSON string."""


class CompletionReader:
    """
    Gathers one completion from its events.

    What cannot change the meaning of an answer is read leniently: an event that has
    neither choices nor an error is nothing. Error messages call the server `who` and do
    not repeat `secret`. Tool calls without an id get one of `run_id`. How likely tokens
    were is read if that was asked for (`has_logprobs`).
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
        self._has_logprobs = has_logprobs
        self._run_id = run_id
        self._asked_model = model
        self._secret = secret
        self._length = 0
        self._length_of_logprobs = 0
        self._usage = Usage()
        self._model: object = None
        self._resolved_model: str | None = None
        self._event_template: tuple[bytes, bytes] | None = None
        self._is_thinking = False
        """Whether the text of the template is reasoning."""
        self._joiner = Joiner()
        self._kinds: set[type[Piece]] = set()
        """What there were deltas of."""
        self._items: Items | None = None
        """What makes items, once there is more than text."""
        self._other: _OtherChoice | None = None
        self._other_format: OtherFormat | None = None
        self.finish_reason: str | None = None
        self.has_choices = False
        """Whether anything of an answer was seen."""
        self.is_done = False
        """Whether `[DONE]` was said."""
        self.remark: str | None = None
        """What an event said that is neither an answer nor an error."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the text is missing."""
        other = None if self.has_choices else self._other
        return (
            self.is_done
            or self.finish_reason is not None
            or (other is not None and other.reader.finish_reason is not None)
        )

    def finished(self) -> Finished:
        """Return the last event."""
        return Finished(self.finish_reason, self._usage, self._resolved_model)

    def end(self) -> Said:
        """
        Return what is left when a complete answer has ended.

        Raises:
            ProviderAnswerInvalid: There was no answer.
        """
        if self._other is not None and not self.has_choices:
            return self._take_other(self._other, is_whole=True)
        if not self.has_choices:
            raise self.in_other_format() or self._invalid("has no choices", self.remark)
        return self._joiner.end() if self._items is None else self._items.end()

    def break_off(self) -> Said:
        """Return the rest of an answer that broke off."""
        if self._other is not None and not self.has_choices:
            return self._take_other(self._other, is_whole=False)
        if self._items is None:
            return self._joiner.end()
        return self._items.end(is_whole=False)

    def in_other_format(self) -> ProviderAnswerInvalid | None:
        """Return what to raise if all that came is in the format of another API."""
        if self.has_choices or self._other_format is None:
            return None
        name, base_url = self._other_format
        return ProviderAnswerInvalid(
            f"{self._who} answered in the format of {name}, which is not that of "
            "OpenAI's chat completions. Set LLAMAKEEP_OPENAI_BASE_URL to where it has "
            f"those, as in {base_url}."
        )

    def parse_batch(self, blocks: Sequence[bytes], start: int) -> tuple[Said, int]:
        """
        Return what the events say that differ from the one before in their text alone.

        Nearly all events of a stream are such, and parsing them is most of its cost.

        Returns:
            Their text, and where the first other one is.

        Raises:
            ProviderAnswerInvalid: It is too long.
        """
        if self._event_template is None:
            return "", start
        head, tail = self._event_template
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
        said = self._counted("".join(texts))
        after = start + len(texts)
        return ([ItemText(said)] if said and self._is_thinking else said), after

    def read(self, data: bytes, *, is_error: bool = False) -> Said:
        """
        Return what one event's data adds.

        Beside JSON, `data` may be `[DONE]` or what keeps the connection alive.

        Raises:
            ProviderAnswerInvalid: It cannot be read, and may have had text.
            LlamaKeepError: It is an error message.
        """
        self._event_template = None
        data = data.strip()
        if len(data) <= len(b'"[DONE]"') and data.strip(b'"').upper() == b"[DONE]":
            self.is_done = True
            return ""
        try:
            event = read_event_json(data)
        except ValueError as exc:
            if is_error:
                event = data.decode(errors="replace")
            elif self.finish_reason is not None or not data.startswith((b"{", b"[")):
                return ""  # it keeps the connection alive, or comes after the text
            else:
                raise self._invalid("is not JSON, or has too many values") from exc
        return self.read_value(event, data, is_error=is_error)

    def read_value(
        self, event: Any, data: bytes = b"", *, is_error: bool = False
    ) -> Said:
        """
        Return what one event, or a whole completion, adds.

        If others like it may follow, `data` is its JSON.

        Raises:
            ProviderAnswerInvalid: It cannot be read, and may have had text.
            LlamaKeepError: It is an error message.
        """
        if is_error or has_error(event):
            # A finished answer is whole, whatever its server says afterwards.
            if self.finish_reason is None:
                raise self._error(event)
            return ""
        if isinstance(event, list):
            return joined(
                [self.read_value(each) for each in event if isinstance(each, dict)]
            )
        if not isinstance(event, dict):
            return ""
        usage = event.get("usage") or as_dict(event.get("x_groq")).get("usage")
        if usage:
            self._count(usage)
        if (model := event.get("model")) != self._model:
            self._model = model
            self._resolved_model = label(model) or self._resolved_model
        choice = self._choice(event)
        if choice is None:
            return ""
        return self._read_choice(choice, b"" if usage else data)

    def _read_choice(self, choice: dict[str, Any], data: bytes) -> Said:
        """Return what the answer's choice adds."""
        if choice.get("usage"):
            self._count(choice["usage"])
        parts = self._parts(choice)
        said: Said
        if parts.pieces or self._items is not None:
            said = self._said_in(parts)
        else:
            said = self._counted(self._joiner.join(parts.text))
        if self._has_logprobs and (likely := self._logprobs(choice)):
            return joined([[Logprobs(likely)], said])
        if data and self.finish_reason is None and not self._joiner.has_half:
            match said, parts.pieces:
                case str(text), () if parts.is_plain:
                    self._is_thinking = False
                    self._event_template = event_template_of(data, text)
                case [ItemText(text)], [Reasoning()]:
                    self._is_thinking = True
                    self._event_template = event_template_of(data, text)
        return said

    def _logprobs(self, choice: dict[str, Any]) -> str:
        found = logprobs_in(choice)
        self._length_of_logprobs += len(found)
        if self._length_of_logprobs > MAX_LOGPROBS:
            raise self._invalid(f"has logprobs of more than {MAX_LOGPROBS} characters")
        return found

    def _choice(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the first choice of an event, which is the answer."""
        choices = event.get("choices")
        if isinstance(choices, dict):
            choices = [choices] if choices.keys() & IN_A_CHOICE else []
        if not isinstance(choices, list) or not choices:
            self.remark = message_of(event, self._secret) or self.remark
            self._other_format = self._other_format or other_format(event)
            return None
        other: dict[str, Any] | None = None
        for choice in choices:
            if choice is None:
                continue
            if not isinstance(choice, dict):
                raise self._invalid("has a choice that is not an object")
            index = choice.get("index")
            if isinstance(index, str):
                index = index.strip() or None
            if index in (None, 0, "0"):
                self.has_choices = True
                return choice
            other = other or choice
        if other is not None and not self.has_choices:
            self._keep(other)
        return None

    def _keep(self, choice: dict[str, Any]) -> None:
        """Keep what another choice says, in case that there is none with number 0."""
        other = self._other
        if other is None:
            reader = CompletionReader(
                self._who,
                model=self._asked_model,
                run_id=self._run_id,
                has_logprobs=self._has_logprobs,
            )
            other = self._other = _OtherChoice(choice.get("index"), reader, [])
        if other.index == choice.get("index"):
            renumbered = {"choices": [choice | {"index": 0}]}
            other.said.append(other.reader.read_value(renumbered))

    def _take_other(self, other: "_OtherChoice", *, is_whole: bool) -> Said:
        """Make the choice with another number the answer, and return it."""
        self.has_choices = True
        self.finish_reason = other.reader.finish_reason
        rest = other.reader.end() if is_whole else other.reader.break_off()
        return joined([*other.said, rest])

    def _parts(self, choice: dict[str, Any]) -> Parts:
        try:
            parts = parts_of(choice)
        except ValueError as error:
            raise self._invalid(str(error)) from None
        reason = reason_of(choice.get("finish_reason"))
        if reason == "error":
            raise ProviderError(
                f"{self._who} broke off its answer: it did not say why."
            )
        if reason is not None:
            self.finish_reason = reason
        if parts.is_message:
            return parts.without(self._kinds) if self._kinds else parts
        if parts.text:
            self._kinds.add(Text)
        self._kinds.update(map(type, parts.pieces))
        return parts

    def _said_in(self, parts: Parts) -> Said:
        """Return what an event adds to an answer that is more than text."""
        items = self._items
        if items is None:
            has_begun = bool(self._length or self._joiner.has_half)
            items = self._items = Items(
                self._run_id, self._joiner, self._invalid, has_begun=has_begun
            )
        pieces = parts.pieces or ([Text(parts.text)] if parts.text else ())
        for piece in pieces:
            self._counted(piece.text)
            if isinstance(piece, CallPiece):
                self._counted(piece.extra)
        items.add(pieces)
        return items.take()

    def _count(self, usage: Any) -> None:
        """Take in what is said of the usage: zeros after figures say nothing."""
        if not isinstance(usage, dict):
            return
        known = self._usage
        read = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        made = usage.get("completion_tokens_details") or usage.get(
            "output_tokens_details"
        )
        self._usage = Usage(
            later(count(usage, "prompt_tokens", "input_tokens"), known.input_tokens),
            later(
                count(usage, "completion_tokens", "output_tokens"), known.output_tokens
            ),
            cached_tokens=later(
                count(as_dict(read), "cached_tokens"), known.cached_tokens
            ),
            reasoning_tokens=later(
                count(as_dict(made), "reasoning_tokens"), known.reasoning_tokens
            ),
        )

    def _error(self, event: Any) -> LlamaKeepError:
        reason = Reason.read(event, self._secret)
        return broken_off(
            reason,
            who=self._who,
            model=self._asked_model,
            retry_after=retry_after(None, event),
        )

    def _counted(self, text: str) -> str:
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise self._invalid(f"is longer than {MAX_TEXT} characters")
        return text

    def _invalid(self, what: str, said: str | None = None) -> ProviderAnswerInvalid:
        says = f": {said}" if said else "."
        return ProviderAnswerInvalid(
            f"{self._who} sent something that cannot be read: it {what}{says}"
        )


class _OtherChoice(NamedTuple):
    """A choice whose number is not 0, which some servers count from 1."""

    index: Any
    reader: CompletionReader
    said: list[Said]
