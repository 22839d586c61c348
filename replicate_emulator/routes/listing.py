"""Pages of predictions, newest first, behind opaque cursors."""

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from replicate_emulator.predictions import Prediction
from replicate_emulator.routes.problems import Problem


@dataclass(frozen=True, slots=True)
class Page:
    """Some predictions, newest first, and the cursors of the pages around them."""

    predictions: Sequence[Prediction]
    next: str | None
    previous: str | None


def parse_time(text: str) -> datetime:
    """
    Return the moment that a query parameter names.

    Raises:
        Problem: 400; what Replicate answers is not known.
    """
    try:
        # A plus that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise Problem(400, f"Invalid date-time: {text}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def page(
    predictions: Sequence[Prediction],
    *,
    size: int,
    cursor: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> Page:
    """
    Return one page of `predictions`, which are in the order of their creation.

    Raises:
        Problem: 404 for an unknown cursor.
    """
    first, last = 0, len(predictions)
    if created_after is not None:
        first = bisect_left(predictions, created_after, key=_created_at)
    if created_before is not None:
        last = max(first, bisect_left(predictions, created_before, key=_created_at))
    start, end = max(first, last - size), last
    if cursor is not None:
        is_backwards, place = _decoded(cursor)
        if is_backwards:
            start = bisect_right(predictions, place, first, last, key=_created_at)
            end = min(last, start + size)
        else:
            end = bisect_left(predictions, place, first, last, key=_created_at)
            start = max(first, end - size)
    found = predictions[start:end][::-1]
    return Page(
        found,
        _encoded(found[-1], is_backwards=False) if found and start > first else None,
        _encoded(found[0], is_backwards=True) if found and end < last else None,
    )


def _created_at(prediction: Prediction) -> datetime:
    return prediction.created_at


def _encoded(prediction: Prediction, *, is_backwards: bool) -> str:
    place = ({"r": "1"} if is_backwards else {}) | {"p": str(prediction.created_at)}
    return base64.b64encode(urlencode(place).encode()).decode()


def _decoded(cursor: str) -> tuple[bool, datetime]:
    try:
        place = parse_qs(base64.b64decode(cursor).decode())
        return "r" in place, datetime.fromisoformat(place["p"][0])
    except (ValueError, binascii.Error, KeyError):
        raise Problem(404, "Invalid cursor") from None
