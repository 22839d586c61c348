"""What all adapters do over HTTP: one translation of failures, bounded bodies."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import from_json

from llamakeep.errors import (
    ProviderAnswerInvalid,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.http import (
    ConnectError,
    ConnectionLost,
    HttpError,
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    Response,
)
from llamakeep.providers.json_text import read_json
from llamakeep.settings import Settings

_MAX_RETRY_AFTER = 24 * 3600.0
"""Also of milliseconds; what is longer is taken for a mistake."""
_MAX_CLOCK_ERROR = 60.0
_MAX_REFUSAL = 64 * 1024
_MAX_MESSAGE = 300
_MAX_DEPTH = 6
_MOST_REASONS = 3
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)
_TRY_AGAIN_IN = re.compile(
    r"(?:try again|retry) in (?:(\d{1,4})h)?(?:(\d{1,5})m(?!s))?"
    r"(?:(\d{1,6}(?:\.\d{1,9})?) ?(ms|s))?",
    re.IGNORECASE,
)
_WHERE_REASONS_ARE = (
    "error",
    "message",
    "detail",
    "msg",
    "errors",
    "error_message",
    "error_description",
    "reason",
    "description",
    "title",
)
_CUT_MESSAGE = re.compile(
    r"""^\s*[{\[].{0,200}?"(?:message|detail|error|msg)"\s*:\s*"([^"\\]{1,1000})""",
    re.DOTALL,
)
_HTML = re.compile(r"<(?:!doctype|html|head|body|title|center|h1)\b", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"\b(?:sk|rk|pk|r8|hf|gsk|xai|nvapi|key)[-_][\w-]{8,}"
    r"|\bBearer +[\w.~+/=-]{8,}|\beyJ[\w-]{8,}\.[\w.-]{8,}|(?<=://)[^/@\s]{1,200}@"
)


class translated_errors:  # noqa: N801 - reads as a statement
    """
    Turn what the HTTP client raises into what llamakeep raises.

    It is entered for each piece of an answer, where a generator would cost as much as
    the piece does.
    """

    def __init__(self, who: str) -> None:
        self._who = who

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, HttpError):
            raise _translation(error, self._who) from error


def most_connections(settings: Settings) -> int:
    """
    Return how many connections to one provider's host may be in use.

    No run ever waits for one: a prediction takes two, to follow it and to ask for it,
    and the rest is for requests that belong to no run.
    """
    return 2 * settings.max_running + 64


def _translation(error: HttpError, who: str) -> ProviderError:
    match error:
        case ReadTimeout():
            return ProviderTimeout(f"{who} took too long to say anything.")
        case PoolTimeout():
            busy = ProviderUnavailable(
                f"{who} was not asked: too many other requests to it are running."
            )
            busy.was_connected = busy.was_tried = False
            return busy
        case ConnectError() | ConnectionLost():
            unavailable = ProviderUnavailable(
                f"{who} cannot be reached, or broke off its answer."
            )
            unavailable.was_connected = not isinstance(error, ConnectError)
            return unavailable
        case ProtocolError():
            return ProviderAnswerInvalid(f"{who} does not speak proper HTTP.")
    return ProviderError(f"{who} could not be asked.")


async def read_body(response: Response, limit: int) -> bytes:
    """
    Return the body of a response.

    Raises:
        ProviderAnswerInvalid: It has more than `limit` bytes.
    """
    body = await response.read_all(limit)
    if body is None:
        raise ProviderAnswerInvalid("The model provider's answer is too long.")
    return body


async def read_refusal(response: Response) -> Any:
    """Return the body of an error response: its JSON, else its text, else `None`."""
    body = bytearray()
    with suppress(HttpError):
        while len(body) < _MAX_REFUSAL and (data := await response.read()) is not None:
            body += data
    try:
        return read_json(bytes(body))
    except ValueError:
        text = body[:_MAX_REFUSAL].decode(errors="replace")
        cut = _CUT_MESSAGE.search(text)
        return cut[1] if cut else text


def message_of(body: Any, *secrets: str | None) -> str | None:
    """
    Return what JSON or text says, short and on one line, if it says anything.

    Pages of HTML and what is no text say nothing, and credentials are left out.
    """
    said = _said(body, 0)
    if said is None:
        return None
    words = "".join(c if c.isprintable() else " " for c in said[: 4 * _MAX_MESSAGE])
    text = " ".join(words.split())
    for secret in filter(None, secrets):
        text = text.replace(secret, "[…]")
    text = _CREDENTIAL.sub("[…]", text)
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 3] + "..."


def _said(body: Any, depth: int) -> str | None:
    if isinstance(body, str):
        return _said_in_text(body.strip(), depth)
    if depth > _MAX_DEPTH:
        return None
    if isinstance(body, list):
        said = [_said(each, depth + 1) for each in body[:_MOST_REASONS]]
        return "; ".join(filter(None, said)) or None
    if not isinstance(body, dict):
        return None
    for name in _WHERE_REASONS_ARE:
        if reason := _said(body.get(name), depth + 1):
            return _placed(body, reason)
    return None


def _placed(body: dict[str, Any], reason: str) -> str:
    """Return a reason with the field that it is about, or the cause behind it."""
    place = body.get("loc")
    if isinstance(place, list):
        named = [str(each) for each in place if isinstance(each, str | int)]
        return f"{'.'.join(named[-3:])}: {reason}"
    details = body.get("metadata")
    raw = details.get("raw") if isinstance(details, dict) else None
    if cause := _said(raw, _MAX_DEPTH):
        return f"{reason}: {cause}"
    return reason


def _said_in_text(text: str, depth: int) -> str | None:
    if text.startswith("{") and depth <= _MAX_DEPTH:
        with suppress(ValueError):
            return _said(from_json(text), depth + 1)
    start = text[:1000]
    is_binary = 8 * start.count("\ufffd") > len(start)
    return None if not text or is_binary or _HTML.search(start) else text


def retry_after(
    header: str | None, body: Any, *, milliseconds: str | None = None
) -> float | None:
    """
    Return the seconds to wait that a 429 or 503 names, if they make sense.

    Some servers say it in the body; `milliseconds`, the header `retry-after-ms`, is
    more exact.
    """
    exact = _sensible(milliseconds)
    if exact is not None:
        return exact / 1000
    if header is not None:
        seconds = _sensible(header)
        return _seconds_until(header) if seconds is None else seconds
    error = body.get("error") if isinstance(body, dict) else None
    stated = error if isinstance(error, dict) else body
    if isinstance(stated, dict):
        seconds = _sensible(stated.get("retry_after"))
        if seconds is not None:
            return seconds
    found = _TRY_AGAIN_IN.search(message_of(body) or "")
    if found is None:
        return None
    hours, minutes, count, unit = found.groups()
    seconds = float(count or 0) / (1000 if unit == "ms" else 1)
    return _sensible(3600 * int(hours or 0) + 60 * int(minutes or 0) + seconds)


def _sensible(seconds: Any) -> float | None:
    """Return what may be a number of seconds, or of milliseconds, if it is one."""
    if isinstance(seconds, str):
        if not _NUMBER.fullmatch(seconds.strip()):
            return None
        seconds = float(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    # Compared before it is converted: an integer may be too large for a float.
    return float(seconds) if 0 <= seconds <= _MAX_RETRY_AFTER else None


def _seconds_until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        seconds = (then - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return _sensible(max(seconds, 0.0)) if seconds > -_MAX_CLOCK_ERROR else None
