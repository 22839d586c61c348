"""JSON schemas of which llama.cpp can make no grammar, or only a slow one."""

from typing import Any

import pytest

from llamakeep.domain import Parameters
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.local.schemas import MOST_CHOICES, fault_of
from llamakeep.providers.registry import Registry

NAMES = [f"n{number}" for number in range(MOST_CHOICES + 1)]
TREE: dict[str, Any] = {
    "$ref": "#/$defs/Tree",
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {
                "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                "a/b": {"$ref": "#/$defs/a~1b"},
            },
            "required": ["children"],
        },
        "a/b": {"type": ["string", "null"], "minLength": 1, "maxLength": 5},
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "integer", "minimum": -5, "maximum": 5.5},
        {"type": "array", "prefixItems": [{"const": 1}], "items": {}},
        {"type": "array", "items": [{"type": "null"}], "maxItems": 10**6},
        {"enum": NAMES[1:]},
        {"properties": {name: {} for name in NAMES}, "required": NAMES},
        {"properties": {"enum": {"type": "string"}, "$ref": {"type": "string"}}},
        {"anyOf": [{"type": "string", "description": "$ref"}, {"not": 5}]},
        TREE,
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_schema_that_makes_a_grammar_has_no_fault(schema: Any) -> None:
    assert fault_of(schema) is None


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (True, "#"),
        ({"properties": {"a": True}}, "#/properties/a"),
        ({"properties": 5}, "#/properties"),
        ({"$defs": []}, "#/$defs"),
        ({"items": 5}, "#/items"),
        ({"items": {"anyOf": []}}, "#/items/anyOf"),
        ({"allOf": {"type": "string"}}, "#/allOf"),
        ({"additionalProperties": 5}, "#/additionalProperties"),
        ({"enum": []}, "#/enum"),
        ({"enum": "a"}, "#/enum"),
        ({"type": "text"}, "#/type"),
        ({"type": ["string", {}]}, "#/type"),
        ({"required": "a"}, "#/required"),
        ({"required": [{}]}, "#/required"),
        ({"$ref": "#/$defs/A"}, "#/$ref"),
        ({"$ref": "#"}, "#/$ref"),
        ({"$ref": "https://example.com/a.json"}, "#/$ref"),
        ({"$ref": 5}, "#/$ref"),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
            },
            "#/$ref",
        ),
        ({"type": "string", "minLength": 5, "maxLength": 1}, "#/minLength"),
        ({"type": "string", "minLength": 1001}, "#/minLength"),
        ({"type": "string", "minLength": -1}, "#/minLength"),
        ({"type": "string", "maxLength": 2.5}, "#/maxLength"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "#/minItems"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "#/minimum"),
        ({"type": "integer", "minimum": "2"}, "#/minimum"),
        ({"enum": NAMES}, "#"),
        ({"properties": {name: {} for name in NAMES}}, "#"),
        ({"items": {"anyOf": [{"enum": NAMES[:300]}, {"enum": NAMES[:300]}]}}, "#"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_fault_of_a_schema_is_found_and_its_place(schema: Any, place: str) -> None:
    fault = fault_of(schema)

    assert fault is not None
    assert fault.startswith(place)
    assert fault.endswith(".")


def test_a_part_of_a_schema_may_refer_to_itself_as_a_whole() -> None:
    list_of_itself = {"type": "array", "items": {"$ref": "#"}}

    assert fault_of(list_of_itself, is_part=True) is None
    assert fault_of(list_of_itself) is not None


def test_a_place_is_not_longer_than_can_be_read() -> None:
    assert len(fault_of({"properties": {"x" * 5000: 5}}) or "") < 300


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        (
            Parameters(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "text"}},
                }
            ),
            "response_format",
        ),
        (
            Parameters(
                tools=(
                    {
                        "type": "function",
                        "function": {"name": "f", "parameters": {"type": "text"}},
                    },
                ),
                tool_choice="required",
            ),
            "tools",
        ),
    ],
)
async def test_a_schema_that_makes_no_grammar_is_refused_by_name(
    local: LocalProvider, parameters: Parameters, field: str
) -> None:
    with pytest.raises(UnsupportedParameter, match="#/type") as caught:
        await Registry([local]).check_parameters(local, "any", parameters)

    assert "Nothing was stored" in caught.value.detail
    assert caught.value.parameters == (field,)
