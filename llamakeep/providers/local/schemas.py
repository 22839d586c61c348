"""Which JSON schemas llama.cpp can make a grammar of, and in a bearable time."""

from collections.abc import Iterator, Mapping
from typing import Any

MOST_CHOICES = 500
"""
Values, alternatives and optional properties of a schema together.

The time for each token grows with them: 1,000 take the embedded model half a minute,
in which it does nothing else.
"""
LONGEST_AT_LEAST = 1000
"""The largest `minLength` and `minItems`; llama.cpp refuses more than 2,000."""
_LONGEST_PLACE = 200

_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}
_BY_NAME = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_CHOICES = ("anyOf", "oneOf", "enum")
_SIZES = (("minLength", "maxLength"), ("minItems", "maxItems"))
_RANGES = (("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum"))


class _Fault(Exception):
    """Says where a schema is wrong, and what it has to be there."""


def fault_of(schema: Any, *, is_part: bool = False) -> str | None:
    """
    Return why a schema makes no grammar, such as `#/a: It has to be an object.`.

    llama.cpp would refuse it, or be busy with it for so long that it answers no others:
    with a `minLength` above the `maxLength`, for ever.

    Args:
        schema: The schema.
        is_part: Whether it becomes a part of another one, so that it may refer to
            itself as a whole.
    """
    choices = 0
    try:
        for node, place in _nodes(schema):
            _check_reference(node, schema, place, is_part=is_part)
            _check_type(node, place)
            _check_bounds(node, place)
            choices += _choices(node, place)
    except _Fault as fault:
        return str(fault)
    if choices > MOST_CHOICES:
        return (
            f"#: It has {choices} values, alternatives and optional properties; "
            f"{MOST_CHOICES} are possible."
        )
    return None


def _nodes(schema: Any) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield a schema and all within it, each with its place."""
    pending = [(schema, "#")]
    while pending:
        node, place = pending.pop()
        if not isinstance(node, dict):
            raise _wrong(place, "It has to be an object.")
        within = [*_within(node, place)]  # before a reader relies on their form
        yield node, place
        pending += within


def _within(node: Mapping[str, Any], place: str) -> Iterator[tuple[Any, str]]:
    """Yield the schemas right within one, each with its place."""
    for name in _BY_NAME:
        named = node.get(name, {})
        if not isinstance(named, dict):
            raise _wrong(f"{place}/{name}", "It has to be an object of schemas.")
        for key, schema in named.items():
            yield schema, f"{place}/{name}/{key}"
    for name in _LISTS:
        listed = node.get(name, ())
        if name in node and not (isinstance(listed, list) and listed):
            raise _wrong(f"{place}/{name}", "It has to be a list of schemas.")
        for at, schema in enumerate(listed):
            yield schema, f"{place}/{name}/{at}"
    items = node.get("items", ())
    if isinstance(items, list | tuple):
        for at, schema in enumerate(items):
            yield schema, f"{place}/items/{at}"
    else:
        yield items, f"{place}/items"
    if not isinstance(more := node.get("additionalProperties", True), bool):
        yield more, f"{place}/additionalProperties"


def _check_reference(
    node: Mapping[str, Any], root: Any, place: str, *, is_part: bool
) -> None:
    followed = {id(node)}
    while "$ref" in node:
        reference = node["$ref"]
        if not isinstance(reference, str) or not (
            reference.startswith("#/") or (is_part and reference == "#")
        ):
            raise _wrong(f"{place}/$ref", "It has to begin with `#/`.")
        node = root
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            inner = node.get(name) if isinstance(node, dict) else None
            if not isinstance(inner, dict):
                raise _wrong(f"{place}/$ref", "There is no schema in that place.")
            node = inner
        if id(node) in followed:
            raise _wrong(f"{place}/$ref", "It leads to itself.")
        followed.add(id(node))


def _check_type(node: Mapping[str, Any], place: str) -> None:
    kinds = node.get("type", "object")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind not in _TYPES:
            raise _wrong(
                f"{place}/type", f"It has to be one of {', '.join(sorted(_TYPES))}."
            )
    required = node.get("required", [])
    if not isinstance(required, list) or not all(
        isinstance(each, str) for each in required
    ):
        raise _wrong(f"{place}/required", "It has to be a list of names.")


def _check_bounds(node: Mapping[str, Any], place: str) -> None:
    for low, high in _SIZES:
        least, most = node.get(low, 0), node.get(high)
        for name, size in ((low, least), (high, 0 if most is None else most)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise _wrong(f"{place}/{name}", "It has to be a whole number from 0.")
        if least > LONGEST_AT_LEAST:
            raise _wrong(f"{place}/{low}", f"It may be {LONGEST_AT_LEAST} at most.")
        if most is not None and least > most:
            raise _wrong(f"{place}/{low}", f"It is more than `{high}`.")
    for low, high in _RANGES:
        for name in (low, high):
            if not isinstance(node.get(name, 0), int | float):
                raise _wrong(f"{place}/{name}", "It has to be a number.")
        if low in node and high in node and node[low] > node[high]:
            raise _wrong(f"{place}/{low}", f"It is more than `{high}`.")


def _choices(node: Mapping[str, Any], place: str) -> int:
    """Return how many ways an answer may take at a schema."""
    if not isinstance(values := node.get("enum", [None]), list) or not values:
        raise _wrong(f"{place}/enum", "It has to be a list of values.")
    required = set(node.get("required", ()))
    optional = sum(name not in required for name in node.get("properties", ()))
    return optional + sum(len(node.get(name, ())) for name in _CHOICES)


def _wrong(place: str, message: str) -> _Fault:
    return _Fault(f"{place[:_LONGEST_PLACE]}: {message}")
