"""What single events of OpenAI's chat completions say."""

from typing import Any

from llamakeep.domain import LONGEST_FINISH_REASON
from llamakeep.providers.openai.deltas import label

_NO_REASONS = {"", "null", "none"}
"""What some servers say as the finish reason of what is not finished."""


def later(said: int | None, known: int | None) -> int | None:
    """Return a number that is said after another: zeros after figures say nothing."""
    return known if not said and known is not None else said


IN_A_CHOICE = {"delta", "message", "text", "finish_reason"}
"""Fields of which a choice has at least one."""


def has_error(event: Any) -> bool:
    """Return whether an event is an error message."""
    if isinstance(event, list):
        return any(has_error(each) for each in event[:2])
    if not isinstance(event, dict):
        return False
    if event.get("error") or event.get("object") == "error":
        return True
    return bool(event.get("errors")) and not event.get("choices")


def as_dict(value: Any) -> dict[str, Any]:
    """Return a value, or nothing if it is no object."""
    return value if isinstance(value, dict) else {}


def reason_of(said: Any) -> str | None:
    """Return a finish reason, if it is one."""
    if isinstance(said, dict):
        said = said.get("type") or said.get("reason")
    if said is None or said is False:
        return None
    said = said if isinstance(said, str) else str(said)
    reason = label(said, limit=LONGEST_FINISH_REASON)
    return None if reason is None or reason.lower() in _NO_REASONS else reason


def event_template_of(data: bytes, text: str) -> tuple[bytes, bytes] | None:
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
