"""Whether a create request is what Replicate takes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from replicate_emulator.routes.problems import InvalidField, invalid_fields, malformed

_GO_TYPES: Mapping[str, tuple[type, str]] = {
    "version": (str, "string"),
    "input": (dict, "map[string]interface {}"),
    "stream": (bool, "bool"),
    "webhook": (str, "string"),
    "webhook_events_filter": (list, "[]string"),
}
_JSON_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_EVENTS = ("start", "output", "logs", "completed")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_MAX_CANCEL_AFTER = 24 * 3600
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class CreateBody:
    """The body of a create request, whose input is still to be checked."""

    version: str
    input: dict[str, Any]
    webhook: str | None
    webhook_events_filter: list[str] | None


def json_type(value: Any) -> str:
    """Return what JSON Schema calls the type of `value`."""
    return _JSON_TYPES[type(value)]


def parse_create(body: bytes, *, has_version: bool) -> CreateBody:
    """
    Return what `body` says.

    Args:
        body: As it was received.
        has_version: Whether the body names the version; otherwise the path does.

    Raises:
        Problem: 400 for JSON that Go could not decode, 422 for what is not allowed.
    """
    try:
        given = json.loads(body)
    except ValueError:
        raise malformed("invalid character looking for beginning of value") from None
    if not isinstance(given, dict):
        raise malformed(
            f"json: cannot unmarshal {json_type(given)} into Go value of type "
            "Prediction"
        )
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        python_type, go_type = _GO_TYPES.get(name, (object, ""))
        if not isinstance(value, python_type):
            raise malformed(
                f"json: cannot unmarshal {json_type(value)} into Go struct field "
                f"Prediction.{name} of type {go_type}"
            )
    if wrong := list(_wrong_members(given, has_version=has_version)):
        raise invalid_fields(wrong)
    return CreateBody(
        given.get("version", ""),
        given["input"],
        given.get("webhook"),
        given.get("webhook_events_filter"),
    )


def _wrong_members(
    given: Mapping[str, Any], *, has_version: bool
) -> Iterator[InvalidField]:
    required = {"version", "input"} if has_version else {"input"}
    allowed = _GO_TYPES.keys() if has_version else _GO_TYPES.keys() - {"version"}
    for name in sorted(required - given.keys()):
        yield _invalid("required", "", f"{name} is required")
    for name in sorted(given.keys() - allowed):
        yield _invalid(
            "additional_property_not_allowed",
            "",
            f"Additional property {name} is not allowed",
        )
    if "webhook" in given and not _is_webhook_url(given["webhook"]):
        yield _invalid("format", "webhook", "Does not match format 'uri'")
    for number, event in enumerate(given.get("webhook_events_filter", ())):
        if event not in _EVENTS:
            field = f"webhook_events_filter.{number}"
            yield _invalid("enum", field, _must_be_one_of(field, _EVENTS))


def _is_webhook_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Replicate takes HTTPS only; on this machine, HTTP is as safe.
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        return bool(parts.hostname) and (parts.scheme == "https" or is_local)
    except ValueError:
        return False


def check_input(given: Mapping[str, Any], openapi_schema: Mapping[str, Any]) -> None:
    """
    Compare a prediction's input with its model's schema; unknown keys are ignored.

    Raises:
        Problem: 422, with everything that is wrong.
    """
    schemas = openapi_schema["components"]["schemas"]
    schema = schemas["Input"]
    wrong = [
        _invalid("required", "input", f"{name} is required")
        for name in schema.get("required", ())
        if name not in given
    ]
    for name, rules in schema["properties"].items():
        if name not in given or (given[name] is None and rules.get("nullable")):
            continue
        if "allOf" in rules:
            rules = schemas[name]  # noqa: PLW2901 - where its values are
        wrong += _wrong_value(f"input.{name}", given[name], rules)
    if wrong:
        raise invalid_fields(wrong)


def _wrong_value(
    field: str, value: Any, rules: Mapping[str, Any]
) -> Iterator[InvalidField]:
    expected, found = rules["type"], json_type(value)
    if found != expected and not (expected == "number" and found == "integer"):
        yield _invalid(
            "invalid_type", field, f"Invalid type. Expected: {expected}, given: {found}"
        )
        return
    if "enum" in rules and value not in rules["enum"]:
        yield _invalid("enum", field, _must_be_one_of(field, rules["enum"]))
    if "minimum" in rules and value < rules["minimum"]:
        yield _invalid(
            "number_gte", field, f"Must be greater than or equal to {rules['minimum']}"
        )
    if "maximum" in rules and value > rules["maximum"]:
        yield _invalid(
            "number_lte", field, f"Must be less than or equal to {rules['maximum']}"
        )


def _must_be_one_of(field: str, values: Any) -> str:
    return f"{field} must be one of the following: " + ", ".join(
        map(json.dumps, values)
    )


def _invalid(kind: str, field: str, description: str) -> InvalidField:
    return {"type": kind, "field": field, "description": description}


def parse_prefer(header: str | None) -> int | None:
    """Return how many seconds `Prefer: wait` asks for, or `None` if it does not."""
    found = re.fullmatch(r"wait(?:=([1-9][0-9]?))?", header or "")
    return min(60, int(found[1] or 60)) if found else None


def parse_cancel_after(header: str | None, minimum: float) -> int | None:
    """
    Return the seconds of a `Cancel-After` header: `90`, `90s`, `5m`, `1h30m45s`.

    Raises:
        Problem: 422; what Replicate answers to a wrong one is not known.
    """
    if header is None:
        return None
    seconds = -1
    if header.isdecimal():
        seconds = int(header)
    elif header and (found := _DURATION.fullmatch(header)):
        hours, minutes, rest = (int(part or 0) for part in found.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if not minimum <= seconds <= _MAX_CANCEL_AFTER:
        raise invalid_fields(
            [_invalid("format", "Cancel-After", "Must be between 5s and 24h")]
        )
    return seconds
