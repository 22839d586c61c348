"""Validation of text that every database and provider has to accept."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

DEEPEST = 100
"""
Levels of an object in a request.

Responses nest it in some more, and more than 255 cannot be written.
"""


def check_text(value: str) -> str:
    """Refuse NUL characters and lone surrogates, which not every database can store."""
    if "\0" in value:
        raise ValueError("It has a NUL character (U+0000). Take it out.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "It has half of a surrogate pair, which is not text. Take it out."
        ) from None
    return value


def check_json(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse an object that not every database can store."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("It is nested too deeply, or has a number like NaN.") from None
    if _is_deep(value):
        raise ValueError(f"It is nested too deeply: {DEEPEST} levels are possible.")
    # JSON writes a NUL as an escape, and a backslash as two.
    check_text(text.replace("\\\\", "").replace("\\u0000", "\0"))
    return value


def _is_deep(value: dict[str, Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        values = (one.values() if isinstance(one, dict) else one for one in level)
        level = [
            each for some in values for each in some if isinstance(each, dict | list)
        ]
        if not level:
            return False
    return True


def check_not_blank(value: str) -> str:
    """Refuse empty text and white space."""
    if not value or value.isspace():
        raise ValueError("It is empty. Write something.")
    return value


def check_written_out(value: object) -> object:
    """Refuse times given as numbers, whose unit and epoch are unknown."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("Write it as in 2026-11-22T12:34:56Z.")
    return value


Text = Annotated[str, AfterValidator(check_text)]
SomeText = Annotated[
    Text,
    AfterValidator(check_not_blank),
    Field(json_schema_extra={"minLength": 1, "pattern": r"\S"}),
]
