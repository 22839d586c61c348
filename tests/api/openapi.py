"""What the OpenAPI document says about the fields of requests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
DOCUMENT = json.loads(REFERENCE.read_text("utf-8"))
"""All of it, as it was written down: making it takes more than a second."""

PATHS = DOCUMENT["paths"]
"""Everything it says about paths."""


def schema_of(route: str) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Yield where each field of a request's body is, and the types it may have."""
    method, path = route.split()
    content = PATHS[path][method.lower()]["requestBody"]["content"]
    found: dict[tuple[str, ...], set[str]] = {}
    for kind in content.values():
        for place, types in _fields(kind["schema"], ()):
            found.setdefault(place, set()).update(types)
    yield from found.items()


def _fields(
    schema: dict[str, Any], where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    for kind in _kinds(schema):
        required = kind.get("required", ())
        for name, field in kind.get("properties", {}).items():
            types = {kind for one in _kinds(field) for kind in _types(one)}
            if name in required:
                types.add("required")
            place = (*where, name)
            yield place, types
            yield from _fields(field, place)


def _types(schema: dict[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _kinds(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in (schema, *schema.get("anyOf", ())):
        reference = one.get("$ref")
        if reference is None:
            yield one
        else:
            name = reference.rpartition("/")[2]
            yield from _kinds(DOCUMENT["components"]["schemas"][name])
