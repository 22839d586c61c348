"""What a choice says, in all the shapes in which servers send it."""

from typing import Any, NamedTuple

from llamakeep.domain import LARGEST_USAGE

_REASONING = ("reasoning_content", "reasoning", "thinking")
_PLAIN = {"role", "content"}
_MAX_LABEL = 200
_MAX_DEPTH = 4


class Parts(NamedTuple):
    """What one choice adds to an answer."""

    text: str
    thoughts: str = ""
    """The model's reasoning, which is no part of the answer."""
    is_plain: bool = False
    """Whether the text is one string, and all that there is."""


def parts_of(choice: dict[str, Any], *, has_text: bool = False) -> Parts:
    """
    Return what a choice of a chat completion, or of an older one, says.

    If there were deltas with text (`has_text`), a whole message repeats them.

    Raises:
        ValueError: It cannot be read.
    """
    message = choice.get("delta")
    if not message and not (has_text and "delta" in choice):
        message = choice.get("message")
    if not message:
        text = choice.get("text") or ""
        if not isinstance(text, str):
            raise ValueError("has a text that is none")
        return Parts(text, is_plain=True)
    if not isinstance(message, dict):
        raise ValueError("has a message that is not an object")  # noqa: TRY004 - no caller's mistake
    content = message.get("content")
    if isinstance(content, str) and message.keys() <= _PLAIN:  # as nearly all are
        return Parts(content, is_plain=True)
    if content is None:
        content = message.get("text") or choice.get("text")
    refusal = message.get("refusal")
    thoughts = next(
        (said for name in _REASONING if (said := _text_in(message.get(name)))), ""
    ) or _text_in(message.get("reasoning_details"))
    if isinstance(content, str):
        is_plain = not (refusal or thoughts)
        return Parts(content + _text_in(refusal), thoughts, is_plain)
    text, more_thoughts = _content_of(content)
    return Parts(text + _text_in(refusal), thoughts + more_thoughts)


def _content_of(content: Any) -> tuple[str, str]:
    if content is None or content is False:
        return "", ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise ValueError("has a content that is not text")  # noqa: TRY004 - no caller's mistake
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        is_thought = isinstance(part, dict) and part.get("type") in _THINKING
        (thoughts if is_thought else texts).append(_text_in(part))
    return "".join(texts), "".join(thoughts)


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


def tool_called(choice: dict[str, Any]) -> str | None:
    """Return the name of the tool that a choice calls, if it calls one."""
    message = choice.get("delta") or choice.get("message")
    if isinstance(message, dict):
        calls = message.get("tool_calls") or message.get("function_call")
        if isinstance(calls, list):
            calls = next((each for each in calls if isinstance(each, dict)), None)
        if isinstance(calls, dict) and calls:
            function = calls.get("function", calls)
            name = function.get("name") if isinstance(function, dict) else None
            return label(name) or "?"
    is_call = choice.get("finish_reason") in ("tool_calls", "function_call")
    return "?" if is_call else None


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
