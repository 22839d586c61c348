"""What all adapters do over HTTP: one translation of failures, bounded bodies."""

import re
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
    BrokenOff,
    HttpError,
    NotConnected,
    NotHttp,
    Response,
    TooSlow,
)

_MAX_RETRY_AFTER = 24 * 3600.0
_MAX_MESSAGE = 300
_TRY_AGAIN_IN = re.compile(r"try again in (\d{1,6}(?:\.\d{1,9})?) ?s", re.IGNORECASE)


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


def _translation(error: HttpError, who: str) -> ProviderError:
    match error:
        case TooSlow():
            return ProviderTimeout(f"{who} took too long to say anything.")
        case NotConnected() | BrokenOff():
            return ProviderUnavailable(
                f"{who} cannot be reached, or broke off its answer."
            )
        case NotHttp():
            return ProviderAnswerInvalid(f"{who} does not speak proper HTTP.")
    return ProviderError(f"{who} could not be asked.")


async def read_body(response: Response, limit: int) -> bytes:
    """
    Return the body of a response.

    Raises:
        ProviderAnswerInvalid: It has more than `limit` bytes.
    """
    body = bytearray()
    while (data := await response.read()) is not None:
        body += data
        if len(body) > limit:
            raise ProviderAnswerInvalid("The model provider's answer is too long.")
    return bytes(body)


async def read_refusal(response: Response) -> Any:
    """Return the body of an error response as JSON, or `None` if it is none."""
    try:
        return from_json(await read_body(response, 64 * 1024))
    except (ValueError, ProviderAnswerInvalid, HttpError):
        return None


def message_of(body: Any) -> str | None:
    """Return what an error body says, short and on one line, if it says anything."""
    while isinstance(body, dict):
        body = body.get("error") or body.get("message") or body.get("detail")
    if not isinstance(body, str):
        return None
    words = "".join(c if c.isprintable() else " " for c in body[: 4 * _MAX_MESSAGE])
    text = " ".join(words.split())
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 3] + "..."


def retry_after(header: str | None, body: Any) -> float | None:
    """
    Return the seconds to wait that a 429 or 503 names.

    Args:
        header: The value of `Retry-After`: seconds, or a date.
        body: The body, for servers that say it there.
    """
    seconds: float | None = None
    if header is not None:
        try:
            seconds = float(header)
        except ValueError:
            seconds = _seconds_until(header)
    if seconds is None and isinstance(body, dict):
        error = body.get("error")
        stated = (error if isinstance(error, dict) else body).get("retry_after")
        if isinstance(stated, int | float):
            seconds = float(stated)
        elif found := _TRY_AGAIN_IN.search(message_of(body) or ""):
            seconds = float(found[1])
    if seconds is None or seconds != seconds:  # noqa: PLR0124 - not a number
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _seconds_until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return (then - datetime.now(UTC)).total_seconds()
