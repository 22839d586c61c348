"""Replicate's prediction object, read leniently: most of it may be missing."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from llamakeep.domain import LARGEST_USAGE, Usage
from llamakeep.providers.replicate.reading import (
    LARGE,
    invalid,
    read_json,
    read_members,
)

MAX_TEXT = 16 * 1024 * 1024
"""How many characters one answer may have."""

FINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "aborted"})
_MEMBERS = frozenset(
    {
        "id",
        "status",
        "output",
        "model",
        "version",
        "input",
        "error",
        "data_removed",
        "source",
        "created_at",
        "webhook",
        "urls",
        "metrics",
    }
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A prediction as one response shows it."""

    id: str
    status: str
    text: str | None
    """The output, joined; `None` where there is none (yet, or any more)."""
    is_json: bool
    """Whether the output is no text: `text` is its JSON, and may become another."""
    is_too_long: bool
    """Whether the output is more than can be kept, and left out."""
    model: str | None
    version: str | None
    input: Mapping[str, Any]
    error: str | None
    is_erased: bool
    source: str | None
    created_at: datetime | None
    webhook: Mapping[str, Sequence[str]]
    """The query of its webhook's address."""
    stream_url: str | None
    usage: Usage
    is_measured: bool
    """Whether it says what it took, of which tokens may be a part."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self.status in FINAL_STATUSES

    @property
    def resolved_model(self) -> str | None:
        """The model with its version, as far as Replicate tells."""
        if self.model and self.version and self.version != "hidden":
            return f"{self.model}:{self.version}"
        return self.model


def read_prediction(body: bytes) -> Prediction:
    """
    Return the prediction in a response; a large one is for a thread.

    Raises:
        ProviderAnswerInvalid: There is none.
    """
    large = len(body) > LARGE
    return prediction_from(read_members(body, _MEMBERS) if large else read_json(body))


def prediction_from(value: Any) -> Prediction:
    """
    Return the prediction that `value` describes.

    Raises:
        ProviderAnswerInvalid: It describes none.
    """
    if not isinstance(value, dict):
        raise invalid("is not an object")
    found_id, status = value.get("id"), value.get("status")
    if not isinstance(found_id, str) or not _ID.fullmatch(found_id):
        raise invalid("is a prediction without an id")
    if not isinstance(status, str):
        raise invalid("is a prediction without a status")
    text, is_json = _text(value.get("output"))
    is_too_long = text is not None and len(text) > MAX_TEXT
    given, urls, metrics = (value.get(name) for name in ("input", "urls", "metrics"))
    return Prediction(
        id=found_id,
        status=status,
        text=None if is_too_long else text,
        is_json=is_json,
        is_too_long=is_too_long,
        model=_label(value.get("model")),
        version=_label(value.get("version")),
        input=given if isinstance(given, dict) else {},
        error=_label(value.get("error"), limit=4096),
        is_erased=value.get("data_removed") is True,
        source=_label(value.get("source")),
        created_at=_moment(value.get("created_at")),
        webhook=_query(value.get("webhook")),
        stream_url=_label(urls.get("stream"), limit=4096)
        if isinstance(urls, dict)
        else None,
        usage=_usage(metrics),
        is_measured=bool(metrics),
    )


def clean(text: str) -> str:
    """Return `text` as every database can keep it: no NUL, no half of a character."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii() and _SURROGATE.search(text):
        # Two halves may have come one by one.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _text(output: Any) -> tuple[str | None, bool]:
    is_json = False
    match output:
        case None:
            return None, False
        case str():
            text = output
        case list() if all(isinstance(part, str) for part in output):
            text = "".join(output)
        case _:
            text, is_json = json.dumps(output, ensure_ascii=False), True
    return clean(text), is_json


def _label(value: Any, *, limit: int = 200) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return clean(value[:limit])


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    # Up to nanoseconds have been seen; Python reads microseconds.
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _query(url: Any) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(urlsplit(url).query) if isinstance(url, str) else {}
    except ValueError:
        return {}


def _usage(metrics: Any) -> Usage:
    if not isinstance(metrics, dict):
        return Usage()
    return Usage(
        input_tokens=_count(metrics.get("input_token_count")),
        output_tokens=_count(metrics.get("output_token_count")),
    )


def _count(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value <= LARGEST_USAGE else None
