"""The fields of a model, as its OpenAPI document describes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any

MOST_FIELDS = 256
"""Inputs of a model that are read; one that writes text has a dozen."""
LONGEST_NAME = 64
_MOST_VALUES = 256
_LONGEST_VALUE = 256
_MOST_STEPS = 5000
_DEEPEST = 16
_MOST_NAMED = 16

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    """What one field takes; what is not known is not bounded."""

    types: frozenset[str] = frozenset()
    """JSON's types without `null`; none if they are not known."""
    items: frozenset[str] = frozenset()
    """The types of a list's elements."""
    default: Scalar | None = None
    minimum: float | None = None
    maximum: float | None = None
    excludes_minimum: bool = False
    excludes_maximum: bool = False
    values: tuple[Scalar, ...] | None = None
    """All that it takes, if they are counted up."""

    @property
    def is_text(self) -> bool:
        """Whether it takes nothing but text."""
        return self.types == {"string"}

    def refusal_of(self, value: Any) -> str | None:
        """Return what the field takes instead, if it does not take a value."""
        if self.values is not None and isinstance(value, Scalar):
            if value in self.values:
                return None
            return "one of " + ", ".join(map(repr, self.values[:_MOST_NAMED]))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.types == {"integer"} and value != int(value):
            return "whole numbers"
        is_low = self.minimum is not None and (
            value <= self.minimum if self.excludes_minimum else value < self.minimum
        )
        is_high = self.maximum is not None and (
            value >= self.maximum if self.excludes_maximum else value > self.maximum
        )
        return self._range() if is_low or is_high else None

    def _range(self) -> str:
        bounds = []
        if self.minimum is not None:
            word = "above" if self.excludes_minimum else "from"
            bounds.append(f"{word} {self.minimum:.15g}")
        if self.maximum is not None:
            word = "below" if self.excludes_maximum else "up to"
            bounds.append(f"{word} {self.maximum:.15g}")
        return "numbers " + " ".join(bounds)


ANYTHING = Field()


def read_fields(document: Any, name: str) -> Mapping[str, Field]:
    """
    Return the fields of the object that a document calls `name`, such as `Input`.

    What cannot be read is left out, and a document of any size takes bounded time.
    """
    reader = _Reader(document)
    schema = reader.component(name)
    fields: dict[str, Field] = {}
    for properties in reader.properties(schema, 0):
        for key, value in islice(properties.items(), MOST_FIELDS):
            if len(fields) < MOST_FIELDS and len(key) <= LONGEST_NAME:
                fields.setdefault(key, reader.field(value, 0))
    return fields


def read_field(document: Any, name: str) -> Field:
    """Return what a document says of the value that it calls `name`."""
    reader = _Reader(document)
    return reader.field(reader.component(name), 0)


class _Reader:
    """Follows references in a document, for as many steps as one may take."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._steps = 0

    def component(self, name: str) -> Any:
        return self._at(f"#/components/schemas/{name}")

    def properties(self, schema: Any, depth: int) -> Iterable[Mapping[str, Any]]:
        """Yield the properties of an object, and of all that it is made of."""
        if not self._may_read(schema, depth):
            return
        if isinstance(properties := schema.get("properties"), dict):
            yield properties
        if isinstance(reference := schema.get("$ref"), str):
            yield from self.properties(self._at(reference), depth + 1)
        for name in ("allOf", "anyOf", "oneOf"):
            for each in _list(schema.get(name)):
                yield from self.properties(each, depth + 1)

    def field(self, schema: Any, depth: int) -> Field:
        if not self._may_read(schema, depth):
            return ANYTHING
        field = _own(schema)
        if isinstance(items := schema.get("items"), dict):
            items_field = self.field(items, depth + 1)
            field = _with(field, Field(items=items_field.types))
        if isinstance(reference := schema.get("$ref"), str):
            field = _with(field, self.field(self._at(reference), depth + 1))
        for each in _list(schema.get("allOf")):
            field = _with(field, self.field(each, depth + 1))
        for name in ("anyOf", "oneOf"):
            options = [each for each in _list(schema.get(name)) if not _is_null(each)]
            if options:
                found = [self.field(each, depth + 1) for each in options]
                field = _with(field, _any_of(found))
        return field

    def _may_read(self, schema: Any, depth: int) -> bool:
        self._steps += 1
        return (
            isinstance(schema, dict)
            and depth <= _DEEPEST
            and self._steps <= _MOST_STEPS
        )

    def _at(self, reference: str) -> Any:
        """Return what a reference within the document leads to."""
        root, *path = reference.split("/", _DEEPEST)
        found = self._document if root == "#" else None
        for name in path:
            if not isinstance(found, dict):
                return None
            found = found.get(name.replace("~1", "/").replace("~0", "~"))
        return found


def _own(schema: Mapping[str, Any]) -> Field:
    """Return what a schema says itself, without what it refers to."""
    given = schema.get("type")
    types = [given] if isinstance(given, str) else _list(given)
    minimum, excludes_minimum = _bound(schema, "minimum", "exclusiveMinimum")
    maximum, excludes_maximum = _bound(schema, "maximum", "exclusiveMaximum")
    default = schema.get("default")
    return Field(
        types=frozenset([each for each in types if isinstance(each, str)]) - {"null"},
        default=default if _is_short(default) else None,
        minimum=minimum,
        maximum=maximum,
        excludes_minimum=excludes_minimum,
        excludes_maximum=excludes_maximum,
        values=_values(schema),
    )


def _bound(
    schema: Mapping[str, Any], name: str, exclusive: str
) -> tuple[float | None, bool]:
    """Return a bound, and whether it is excluded, as any version of JSON Schema."""
    bound, excluded = _number(schema.get(name)), schema.get(exclusive)
    if isinstance(excluded, bool) or (other := _number(excluded)) is None:
        return bound, excluded is True
    is_tighter = bound is None or (
        other >= bound if name == "minimum" else other <= bound
    )
    return (other, True) if is_tighter else (bound, False)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return value if is_number and isfinite(value) else None
    except OverflowError:
        return None


def _values(schema: Mapping[str, Any]) -> tuple[Scalar, ...] | None:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or len(values) > _MOST_VALUES:
        return None
    values = [each for each in values if each is not None]
    is_readable = bool(values) and all(_is_short(each) for each in values)
    return tuple(values) if is_readable else None


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_VALUE
    return isinstance(value, bool) or _number(value) is not None


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _with(one: Field, other: Field) -> Field:
    """Return a field that takes what both do; the first one's word counts."""
    values = one.values
    if values is None:
        values = other.values
    elif other.values is not None:
        values = tuple(each for each in values if each in other.values) or values
    low = one if _is_bounded(one.minimum, other.minimum, above=True) else other
    high = one if _is_bounded(one.maximum, other.maximum, above=False) else other
    return Field(
        types=one.types or other.types,
        items=one.items or other.items,
        default=one.default if one.default is not None else other.default,
        minimum=low.minimum,
        excludes_minimum=low.excludes_minimum,
        maximum=high.maximum,
        excludes_maximum=high.excludes_maximum,
        values=values,
    )


def _is_bounded(one: float | None, other: float | None, *, above: bool) -> bool:
    """Return whether the first bound is at least as tight as the other one."""
    if one is None or other is None:
        return other is None
    return one >= other if above else one <= other


def _any_of(options: Sequence[Field]) -> Field:
    """Return a field that takes what one of the options does."""
    if len(options) == 1:
        return options[0]
    is_typed = all(each.types for each in options)
    types = frozenset[str]().union(*(each.types for each in options))
    items = frozenset[str]().union(*(each.items for each in options))
    values = [one for each in options for one in each.values or ()]
    has_all = all(each.values for each in options) and len(values) <= _MOST_VALUES
    return Field(
        types=types if is_typed else frozenset(),
        items=items,
        values=tuple(values) if has_all else None,
    )


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
