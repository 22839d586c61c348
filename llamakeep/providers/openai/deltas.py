"""What a choice says, in all the shapes in which servers send it."""

import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from llamakeep.domain import LARGEST_USAGE, Reasoning, Refusal, Text
from llamakeep.providers.openai.sealed import (
    DETAILS,
    EXTRA,
    Sealed,
    as_json,
    is_signed,
    sealed_details,
    sealed_extra,
)

_REASONING = ("reasoning_content", "reasoning", "thinking")
_PLAIN = {"role", "content"}
_SEALED = {DETAILS, EXTRA}
_MAX_LABEL = 200
_MAX_DEPTH = 4


class CallPiece(NamedTuple):
    """More of a tool call, or all of it."""

    text: str
    """Of its arguments."""
    name: str = ""
    call_id: str = ""
    number: int | None = None
    """Its `index`."""
    is_whole: bool = False
    """Whether it is certain that this is all of it."""
    extra: str = ""
    """JSON of what has to be handed back with it."""


Piece = Text | Reasoning | Refusal | CallPiece | Sealed


class Parts(NamedTuple):
    """What one choice adds to an answer."""

    text: str
    """If there is text alone."""
    pieces: Sequence[Piece] = ()
    """All in their order, if there is more than text."""
    is_plain: bool = False
    """Whether the text is one string, and all that there is."""
    is_message: bool = False
    """Whether it comes as a whole message, which behind deltas repeats them."""

    def without(self, kinds: AbstractSet[type[Piece]]) -> "Parts":
        """Return what is not of some kinds."""
        text = "" if Text in kinds else self.text
        pieces = [each for each in self.pieces if type(each) not in kinds]
        return Parts(text, pieces)


def parts_of(choice: dict[str, Any]) -> Parts:
    """
    Return what a choice of a chat completion, or of an older one, says.

    Raises:
        ValueError: It cannot be read.
    """
    delta = choice.get("delta")
    message = delta or choice.get("message")
    if not message:
        text = choice.get("text") or ""
        if not isinstance(text, str):
            raise ValueError("has a text that is none")
        return Parts(text, is_plain=True)
    if not isinstance(message, dict):
        raise ValueError("has a message that is not an object")  # noqa: TRY004 - no caller's mistake
    is_message = not delta
    content = message.get("content")
    if isinstance(content, str) and message.keys() <= _PLAIN:  # as nearly all are
        return Parts(content, is_plain=True, is_message=is_message)
    if content is None:
        content = message.get("text") or choice.get("text")
    pieces = list(_pieces_of(message, content, is_whole=is_message))
    if all(isinstance(piece, Text) for piece in pieces):
        text = "".join([piece.text for piece in pieces])
        return Parts(text, (), isinstance(content, str), is_message)
    return Parts("", pieces, is_message=is_message)


def _pieces_of(
    message: dict[str, Any], content: Any, *, is_whole: bool
) -> Iterator[Piece]:
    thoughts = next(
        (said for name in _REASONING if (said := _text_in(message.get(name)))), ""
    ) or _text_in(message.get("reasoning_details"))
    if thoughts:
        yield Reasoning(thoughts)
    if message.keys() & _SEALED:
        yield from sealed_details(message.get(DETAILS))
        if is_signed(message.get(EXTRA)):
            yield sealed_extra(as_json(message[EXTRA]))
    yield from _pieces_of_content(content)
    if refusal := _text_in(message.get("refusal")):
        yield Refusal(refusal)
    calls = message.get("tool_calls") or message.get("function_call")
    for call in calls if isinstance(calls, list) else [calls]:
        if isinstance(call, dict) and call:
            yield _call_in(call, is_whole=is_whole)


def _pieces_of_content(content: Any) -> Iterator[Piece]:
    if content is None or content is False:
        return
    if isinstance(content, str | dict):
        content = [content]
    if not isinstance(content, list):
        raise ValueError("has a content that is not text")  # noqa: TRY004 - no caller's mistake
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _CALLS:
            yield _call_in(part, is_whole=True)
        elif text := _text_in(part):
            made = Reasoning if kind in _THINKING else Text
            yield Refusal(text) if kind == "refusal" else made(text)


_CALLS = {"tool_use", "tool_call", "function_call"}
_THINKING = {"thinking", "reasoning", "redacted_thinking"}
_WHERE_TEXT_IS = (
    "text",
    "value",
    "refusal",
    "thinking",
    "reasoning",
    "content",
    "summary",
)


def _text_in(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "".join([_text_in(each, depth + 1) for each in value])
    if isinstance(value, dict):
        for name in _WHERE_TEXT_IS:
            if text := _text_in(value.get(name), depth + 1):
                return text
    return ""


def _call_in(call: dict[str, Any], *, is_whole: bool) -> CallPiece:
    function = call.get("function") or call.get("custom")
    if not isinstance(function, dict):
        function = call
    return CallPiece(
        _arguments_in(function),
        _name_in(function.get("name")),
        _name_in(call.get("id") or call.get("call_id")),
        _index_in(call.get("index")),
        is_whole,
        as_json(call[EXTRA]) if is_signed(call.get(EXTRA)) else "",
    )


def _arguments_in(function: dict[str, Any]) -> str:
    """Return arguments as text; JSON that is not written as text is written so."""
    said = (function.get(name) for name in ("arguments", "input"))
    arguments = next((each for each in said if each is not None), "")
    if isinstance(arguments, str):
        return arguments
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise ValueError("has arguments that are no JSON") from error


def _name_in(name: Any) -> str:
    return name if isinstance(name, str) and name != "null" else ""


def _index_in(index: Any) -> int | None:
    if isinstance(index, str) and index.isdecimal() and len(index) < 16:
        return int(index)
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def label(value: Any, *, limit: int = _MAX_LABEL) -> str | None:
    """Return a name that every database can keep, if the value is one."""
    if not isinstance(value, str) or not value:
        return None
    text = value[:limit].encode(errors="replace").decode()
    return text.replace("\0", "\ufffd")


def count(usage: dict[str, Any], *names: str) -> int | None:
    """Return a number of tokens that goes by one of these names, if it is one."""
    for name in names:
        value = usage.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 16:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value if 0 <= value <= LARGEST_USAGE else None
    return None
