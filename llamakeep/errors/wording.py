"""Plain wording for Pydantic's validation errors."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MISSING = "This field is required."
UNKNOWN = "There is no such field. Leave it out."
NOT_A_CURSOR = "It is no cursor. Send one as the last answer had it."

_WHOLE = "It has to be a whole number."
_NUMBER = "It has to be a number."
_SWITCH = "It has to be true or false."
_MOMENT = "Write it as in 2026-11-22T12:34:56Z."
_MESSAGES = {
    "missing": MISSING,
    "extra_forbidden": UNKNOWN,
    "unexpected_keyword_argument": UNKNOWN,
    "string_type": "It has to be text.",
    "string_sub_type": "It has to be text.",
    "string_unicode": "It is not text in UTF-8.",
    "string_pattern_mismatch": "It is not written as it has to be.",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "The number has too many digits.",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "finite_number": "It has to be a number, and not an infinite one.",
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
    "greater_than": "It has to be more than {gt}.",
    "greater_than_equal": "It has to be at least {ge}.",
    "less_than": "It has to be less than {lt}.",
    "less_than_equal": "It has to be at most {le}.",
    "list_type": "It has to be a list.",
    "tuple_type": "It has to be a list.",
    "set_type": "It has to be a list.",
    "dict_type": "It has to be an object.",
    "mapping_type": "It has to be an object.",
    "model_type": "It has to be an object.",
    "model_attributes_type": "It has to be an object.",
    "dataclass_type": "It has to be an object.",
    "dataclass_exact_type": "It has to be an object.",
    "literal_error": "It has to be {expected}.",
    "enum": "It has to be {expected}.",
    "none_required": "It has to be null.",
    "timezone_aware": f"It has no time zone. {_MOMENT}",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "url_type": "It is no URL.",
    "url_parsing": "It is no URL: {error}.",
    "url_syntax_violation": "It is no URL: {error}.",
    "url_scheme": "It has to be a URL with {expected_schemes}.",
    "url_too_long": "It may have {max_length} characters.",
    "ip_any_network": "It is no network such as 10.1.0.0/16.",
    "ip_any_address": "It is no IP address.",
    "byte_size": "It has to be a size in bytes, such as 2MiB.",
    "byte_size_unit": "It has to be a size in bytes, such as 2MiB.",
    "path_type": "It has to be a path.",
}
_LISTS = {"List", "Tuple", "Set", "Frozenset"}
_TAG = re.compile(r"[\[(]|^(str|int|float|bool|list|dict|none|nullable|json)$")
"""Parts of a location that name validators instead of fields."""


def wording_of(error: Mapping[str, Any]) -> str:
    """Return the wording of a validation error."""
    kind, facts = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(facts["error"])
    if kind == "string_pattern_mismatch" and error["loc"][-1:] == ("cursor",):
        return NOT_A_CURSOR
    if kind in {"string_too_short", "string_too_long", "too_short", "too_long"}:
        return _of_length(kind, facts)
    if kind in _MESSAGES:
        return _MESSAGES[kind].format_map(facts)
    message = re.sub(r"^(Input|Value) should ", "It has to ", error["msg"])
    return f"{message.rstrip('.')}."


def path_of(location: Sequence[Any]) -> list[str]:
    """Return the names of the fields that lead to a value."""
    parts = [str(part) for part in location]
    # Pydantic inserts the name of the union's member.
    return [
        part
        for place, part in enumerate(parts)
        if place == 0 or isinstance(location[place], int) or not _TAG.search(part)
    ]


def _of_length(kind: str, facts: Mapping[str, Any]) -> str:
    bound = facts["min_length" if kind.endswith("short") else "max_length"]
    entries = facts.get("field_type") in _LISTS | {"Dictionary"}
    unit = ("entry" if bound == 1 else "entries") if entries else "character"
    if not entries and bound != 1:
        unit = "characters"
    if kind.endswith("short"):
        if bound == 1:
            return "It is empty."
        return f"It has to have at least {bound} {unit}."
    return f"It may have {bound} {unit} at most."
