"""Response formats in requests: any text, any JSON, or JSON of a schema."""

from typing import Any

from llamakeep.api.prompts.reading import check_kinds, checked_json, invalid

_FORMATS = {"text", "json_object", "json_schema"}


def read_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """
    Return the response format, unless it is plain text.

    Raises:
        InvalidRequest: It is none.
    """
    if given is None:
        return None
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise invalid(
            "response_format.type", "It has to be text, json_object or json_schema."
        )
    if kind == "json_schema":
        _check_described(given.get("json_schema"))
    checked_json(given, "response_format")
    return None if kind == "text" else given


def _check_described(given: Any) -> None:
    where = "response_format.json_schema"
    if not isinstance(given, dict):
        raise invalid(where, "It has to be an object with a `schema`.")
    check_kinds(given, where, name=str, schema=dict, strict=bool)
