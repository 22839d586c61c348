"""Tools in requests: what a model may call, and what it has to call."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field, WithJsonSchema

from llamakeep.api.http.problems import FIELD_UNKNOWN
from llamakeep.api.prompts.reading import check_kinds, checked, checked_json, invalid
from llamakeep.domain.runs import ALLOWED_TOOLS, allowed_in
from llamakeep.errors import UnsupportedParameter

MOST_TOOLS = 128
NAME = r"[a-zA-Z0-9_-]{1,64}"

FUNCTION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": f"^{NAME}$"},
        "description": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"]},
        "strict": {"type": ["boolean", "null"]},
    },
}
TOOL_SCHEMA = {
    "type": "object",
    "required": ["type", "function"],
    "additionalProperties": False,
    "properties": {"type": {"const": "function"}, "function": FUNCTION_SCHEMA},
}
ChatTools = Annotated[
    list[Annotated[dict[str, Any], WithJsonSchema(TOOL_SCHEMA)]],
    Field(fail_fast=True),
]
_NAMED_SCHEMA = {
    "type": "object",
    "required": ["type", "function"],
    "properties": {
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}},
        },
    },
}
_FLAT_NAMED_SCHEMA = {
    "type": "object",
    "required": ["type", "name"],
    "properties": {"type": {"const": "function"}, "name": {"type": "string"}},
}


def _allowed_schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schemas of the fields of a choice among several tools."""
    return {
        "mode": {"enum": ["auto", "required"]},
        "tools": {"type": "array", "minItems": 1, "items": tool},
    }


CHOICE_SCHEMA = {
    "anyOf": [
        {"enum": ["none", "auto", "required"]},
        _NAMED_SCHEMA,
        {
            "type": "object",
            "required": ["type", ALLOWED_TOOLS],
            "properties": {
                "type": {"const": ALLOWED_TOOLS},
                ALLOWED_TOOLS: {
                    "type": "object",
                    "required": ["mode", "tools"],
                    "properties": _allowed_schema(_NAMED_SCHEMA),
                },
            },
        },
        {"type": "null"},
    ]
}
FLAT_TOOL_SCHEMA = {
    **FUNCTION_SCHEMA,
    "required": ["type", "name"],
    "properties": {"type": {"const": "function"}, **FUNCTION_SCHEMA["properties"]},
}
FLAT_CHOICE_SCHEMA = {
    "anyOf": [
        {"enum": ["none", "auto", "required"]},
        _FLAT_NAMED_SCHEMA,
        {
            "type": "object",
            "required": ["type", "tools"],
            "properties": {
                "type": {"const": ALLOWED_TOOLS},
                **_allowed_schema(_FLAT_NAMED_SCHEMA),
            },
        },
        {"type": "null"},
    ]
}
FUNCTION_CHOICE_SCHEMA = {
    "anyOf": [
        {"enum": ["none", "auto"]},
        {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}},
        },
        {"type": "null"},
    ]
}

_NAME = re.compile(NAME)
_ALLOWED = frozenset({"mode", "tools"})


class Tools(NamedTuple):
    """What a model may call, as chat completions write it."""

    tools: Sequence[Mapping[str, Any]] = ()
    choice: str | Mapping[str, Any] | None = None
    are_parallel: bool | None = None


NO_TOOLS = Tools()


def read_tools(
    tools: Sequence[Any] | None, choice: Any, *, are_parallel: bool | None
) -> Tools:
    """
    Read `tools`, `tool_choice` and `parallel_tool_calls`.

    Without tools, choices that need none change nothing.

    Raises:
        InvalidRequest: A tool or the choice is invalid, or there are too many tools.
        UnsupportedParameter: A tool is not a function of the client's.
    """
    read = _listed(_with_places(tools or (), "tools"), "tools")
    return _read(read, choice, are_parallel=are_parallel)


def read_flat_tools(
    tools: Iterable[tuple[str, Any]], choice: Any, *, are_parallel: bool | None
) -> Tools:
    """
    Read `tools`, `tool_choice` and `parallel_tool_calls` of the Responses API.

    Args:
        tools: What `wrapped` returns for each, with its place.
        choice: Which to call; a function's fields are the choice's own there.
        are_parallel: Whether several may be called at once.

    Raises:
        InvalidRequest: As `read_tools`.
        UnsupportedParameter: As `read_tools`.
    """
    read = _listed([*tools], "tools", field="")
    return _read(read, choice, are_parallel=are_parallel, field="")


def flat_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tools as the Responses API writes them, with all of their fields."""
    fields = FUNCTION_SCHEMA["properties"]
    return [
        {"type": "function", **dict.fromkeys(fields), **tool["function"]}
        for tool in tools
    ]


def flat_choice(choice: str | Mapping[str, Any] | None) -> str | dict[str, Any]:
    """Return the choice as the Responses API writes it."""
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    if (allowed := allowed_in(choice)) is not None:
        tools = [{"type": "function", **tool["function"]} for tool in allowed["tools"]]
        return {"type": ALLOWED_TOOLS, "mode": allowed["mode"], "tools": tools}
    return {"type": "function", "name": choice["function"]["name"]}


def wrapped(tool: Any) -> Any:
    """Return a tool of the Responses API as chat completions write it."""
    if not isinstance(tool, Mapping):
        return tool
    # Clients write fields out that they do not use.
    given = {name: value for name, value in tool.items() if value is not None}
    return {"type": given.pop("type", None), "function": given}


def _read(
    read: Sequence[Mapping[str, Any]],
    choice: Any,
    *,
    are_parallel: bool | None,
    field: str = ".function",
) -> Tools:
    names = {tool["function"]["name"] for tool in read}
    if isinstance(choice, Mapping) and choice.get("type") == ALLOWED_TOOLS:
        choice = _allowed(choice, names, field)
    elif isinstance(choice, Mapping):
        _check_type(choice, "tool_choice")
        if field:
            check_fields(choice, {"type", "function"}, "tool_choice")
            called = choice.get("function")
        else:
            called = {name: choice[name] for name in choice if name != "type"}
        name = _named(called, names, f"tool_choice{field}")
        choice = {"type": "function", "function": {"name": name}}
    elif choice not in (None, "none", "auto", "required"):
        raise invalid(
            "tool_choice",
            "It has to be none, auto, required, or an object with the name of a tool.",
        )
    elif choice == "required" and not read:
        raise invalid("tool_choice", "There are no `tools` to call. Send some.")
    return Tools(read, choice, are_parallel) if read else NO_TOOLS


def _allowed(
    choice: Mapping[str, Any], names: set[str], field: str
) -> Mapping[str, Any]:
    """Return a choice among several tools, as chat completions write it."""
    where = "tool_choice"
    given: Any = choice
    if field:
        check_fields(choice, {"type", ALLOWED_TOOLS}, where)
        given, where = choice.get(ALLOWED_TOOLS), f"{where}.{ALLOWED_TOOLS}"
        if not isinstance(given, Mapping):
            raise invalid(where, "It has to be an object with a `mode` and `tools`.")
    check_fields(given, {*_ALLOWED, *(() if field else ("type",))}, where)
    mode = given.get("mode") or "auto"
    if mode not in ("auto", "required"):
        raise invalid(f"{where}.mode", "It has to be auto or required.")
    tools = given.get("tools")
    if not isinstance(tools, list) or not 0 < len(tools) <= MOST_TOOLS:
        raise invalid(f"{where}.tools", "It has to be a list of tools of the request.")
    allowed = []
    for index, tool in enumerate(tools):
        place = f"{where}.tools[{index}]"
        if not isinstance(tool, Mapping):
            raise invalid(place, 'It is an object such as `{"type": "function", …}`.')
        _check_type(tool, place)
        named: Any = {name: tool[name] for name in tool if name != "type"}
        if field:
            check_fields(tool, {"type", "function"}, place)
            named = tool.get("function")
        name = _named(named, names, f"{place}{field}")
        allowed.append({"type": "function", "function": {"name": name}})
    return {"type": ALLOWED_TOOLS, ALLOWED_TOOLS: {"mode": mode, "tools": allowed}}


def read_functions(functions: Sequence[Any] | None, choice: Any) -> Tools:
    """
    Read `functions` and `function_call`, the older names of tools and of the choice.

    Raises:
        InvalidRequest: A function or the choice is invalid, or there are too many.
    """
    given = [{"type": "function", "function": one} for one in functions or ()]
    read = _listed(_with_places(given, "functions"), "functions", field="")
    if isinstance(choice, Mapping):
        names = {tool["function"]["name"] for tool in read}
        name = _named(choice, names, "function_call")
        choice = {"type": "function", "function": {"name": name}}
    elif choice not in (None, "none", "auto"):
        raise invalid(
            "function_call",
            "It has to be none, auto, or an object with the name of a function.",
        )
    # The older form of an answer has place for one call.
    return Tools(read, choice, are_parallel=False) if read else NO_TOOLS


def _with_places(given: Sequence[Any], where: str) -> Sequence[tuple[str, Any]]:
    return [(f"{where}[{index}]", tool) for index, tool in enumerate(given)]


def _listed(
    given: Sequence[tuple[str, Any]], where: str, *, field: str = ".function"
) -> Sequence[Mapping[str, Any]]:
    if len(given) > MOST_TOOLS:
        raise invalid(where, f"There are {len(given)}; {MOST_TOOLS} are possible.")
    tools = tuple(_tools(given, field))
    places: dict[str, str] = {}
    for (place, _), tool in zip(given, tools, strict=True):
        name = tool["function"]["name"]
        if (first := places.setdefault(name, place)) != place:
            raise invalid(
                f"{place}{field}.name",
                f"{first} has this name, too. Give each a name of its own.",
            )
    return tools


def _tools(given: Iterable[tuple[str, Any]], field: str) -> Iterator[Mapping[str, Any]]:
    for place, tool in given:
        if not isinstance(tool, Mapping):
            raise invalid(place, 'It is an object such as `{"type": "function", …}`.')
        _check_type(tool, place)
        check_fields(tool, {"type", "function"}, place)
        yield {
            "type": "function",
            "function": _function(tool.get("function"), f"{place}{field}"),
        }


def _function(given: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise invalid(where, "It has to be an object with a `name`.")
    check_fields(given, FUNCTION_SCHEMA["properties"], where)
    name = given.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(
            f"{where}.name",
            "It has to be 1 to 64 letters (a to z), digits, underscores or hyphens.",
        )
    check_kinds(given, where, description=str, parameters=dict, strict=bool)
    checked_json(given, where)
    return {field: value for field, value in given.items() if value is not None}


def _check_type(given: Mapping[str, Any], where: str) -> None:
    kind = given.get("type")
    if not isinstance(kind, str):
        raise invalid(f"{where}.type", "It has to be `function`.")
    if kind != "function":
        raise UnsupportedParameter(
            f"{where}: this server has no tools of its own, and hands on tools of the "
            f"type 'function', not of the type {kind[:64]!a}. Nothing was stored. "
            "Leave it out, or send a function that your program runs.",
            parameters=[f"{where}.type"],
        )


def check_fields(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """
    Check that an object has fields with some names only.

    Raises:
        InvalidRequest: It has another one.
    """
    for name in given:
        if name not in known:
            raise invalid(f"{where}.{name[:64]}", FIELD_UNKNOWN)


def _named(given: Any, names: set[str], where: str) -> str:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise invalid(f"{where}.name", "It has to be the name of a tool.")
    check_fields(given, {"name"}, where)
    name: str = given["name"]
    check_is_known(name, names, f"{where}.name")
    return name


def check_is_known(name: str, names: Collection[str], where: str) -> None:
    """
    Check that a tool of the request has a name.

    Raises:
        InvalidRequest: None has it.
    """
    if name not in names:
        checked(name, where)
        raise invalid(where, f"No tool of the request has the name {name[:64]!a}.")
