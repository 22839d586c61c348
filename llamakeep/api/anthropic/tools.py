"""Tools in requests: what a model may call, and what it has to call."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from llamakeep.api.http.problems import FIELD_UNKNOWN
from llamakeep.api.openai.tools import (
    MOST_TOOLS,
    NO_TOOLS,
    Tools,
    check_fields,
    check_is_known,
)
from llamakeep.api.prompts.reading import check_kinds, checked_json, invalid
from llamakeep.errors import UnsupportedParameter

NAME = r"[a-zA-Z0-9_-]{1,128}"

TOOL_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["name", "input_schema"],
    "properties": {
        "type": {"enum": ["custom", None]},
        "name": {"type": "string", "pattern": f"^{NAME}$"},
        "description": {"type": ["string", "null"]},
        "input_schema": {"type": "object"},
        "strict": {"type": ["boolean", "null"]},
    },
}
CHOICE_SCHEMA = {
    "anyOf": [
        {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"enum": ["auto", "any", "none"]},
                "disable_parallel_tool_use": {"type": ["boolean", "null"]},
            },
        },
        {
            "type": "object",
            "required": ["type", "name"],
            "properties": {
                "type": {"const": "tool"},
                "name": {"type": "string"},
                "disable_parallel_tool_use": {"type": ["boolean", "null"]},
            },
        },
        {"type": "null"},
    ]
}

_NAME = re.compile(NAME)
_FIELDS = ("type", "name", "description", "input_schema", "strict")
_WITHOUT_EFFECT = {"cache_control", "eager_input_streaming"}
_ONLY: Mapping[str, Sequence[Any]] = {
    "allowed_callers": (["direct"],),
    "defer_loading": (False,),
    "input_examples": ([],),
}
"""Fields that no model here can be told, with the values that change nothing."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def read_tools(tools: Sequence[Any] | None, choice: Any) -> Tools:
    """
    Read `tools` and `tool_choice`.

    Without tools, choices that need none change nothing.

    Raises:
        InvalidRequest: A tool or the choice is invalid, or there are too many tools.
        UnsupportedParameter: A tool is not a function of the client's.
    """
    given = tools or ()
    if len(given) > MOST_TOOLS:
        raise invalid("tools", f"There are {len(given)}; {MOST_TOOLS} are possible.")
    read = tuple(_tools(given))
    places: dict[str, int] = {}
    for place, tool in enumerate(read):
        name = tool["function"]["name"]
        if (first := places.setdefault(name, place)) != place:
            raise invalid(
                f"tools.{place}.name",
                f"tools.{first} has this name, too. Give each a name of its own.",
            )
    chosen, are_parallel = _choice(choice, places)
    return Tools(read, chosen, are_parallel) if read else NO_TOOLS


def _tools(given: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for index, tool in enumerate(given):
        where = f"tools.{index}"
        if not isinstance(tool, Mapping):
            raise invalid(where, "It is an object with a `name` and an `input_schema`.")
        kind = tool.get("type")
        if kind not in (None, "custom"):
            raise UnsupportedParameter(
                f"{where}: this server has no tools of its own, and no model here "
                f"knows those of the type {str(kind)[:64]!a}. Nothing was stored. "
                "Leave it out, or describe a tool of your program with a `name` and "
                "an `input_schema`.",
                parameters=[f"{where}.type"],
            )
        for field in tool:
            _check_field(field, tool[field], where)
        yield {"type": "function", "function": _function(tool, where)}


def _check_field(field: str, value: Any, where: str) -> None:
    if field in _FIELDS or field in _WITHOUT_EFFECT:
        return
    place = f"{where}.{field[:64]}"
    if field not in _ONLY:
        raise invalid(place, FIELD_UNKNOWN)
    if value is not None and value not in _ONLY[field]:
        raise UnsupportedParameter(
            f"{place}: no model here can be told this of a tool. Nothing was stored. "
            "Leave it out.",
            parameters=[place],
        )


def _function(tool: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    name = tool.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(
            f"{where}.name",
            "It has to be 1 to 128 letters (a to z), digits, underscores or hyphens.",
        )
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise invalid(
            f"{where}.input_schema", "It has to be an object, which is a JSON Schema."
        )
    check_kinds(tool, where, description=str, strict=bool)
    function: dict[str, Any] = {"name": name}
    for field in ("description", "strict"):
        if tool.get(field) is not None:
            function[field] = tool[field]
    function["parameters"] = schema
    return checked_json(function, where)


def _choice(
    choice: Any, names: Collection[str]
) -> tuple[str | Mapping[str, Any] | None, bool | None]:
    """Return a choice and whether calls may be parallel, as chat completions say it."""
    if choice is None:
        return None, None
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if not isinstance(kind, str) or kind not in (*_CHOICES, "tool"):
        raise invalid(
            "tool_choice.type", "It has to be one of auto, any, tool and none."
        )
    known = {"type", "disable_parallel_tool_use", *(["name"] if kind == "tool" else [])}
    check_fields(choice, known, "tool_choice")
    is_one = choice.get("disable_parallel_tool_use")
    if not isinstance(is_one, bool | None):
        raise invalid(
            "tool_choice.disable_parallel_tool_use", "It has to be true or false."
        )
    are_parallel = False if is_one else None
    if kind != "tool":
        if kind == "any" and not names:
            raise invalid("tool_choice", "There are no `tools` to call. Send some.")
        return _CHOICES[kind], are_parallel
    name = choice.get("name")
    if not isinstance(name, str):
        raise invalid("tool_choice.name", "It has to be the name of a tool.")
    check_is_known(name, names, "tool_choice.name")
    return {"type": "function", "function": {"name": name}}, are_parallel
