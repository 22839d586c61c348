"""
Tools in namespaces, as Codex sends them.

A model gets each as a function of its own, whose name and description begin with those
of the namespace; the client gets its call with the two names apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llamakeep.api.openai.tools import MOST_TOOLS, check_fields, wrapped
from llamakeep.api.prompts.reading import check_kinds, invalid, named
from llamakeep.domain import Run

NAMESPACE = "namespace"
"""The type of such a tool, and the field of a call with its name."""
ECHOED = "namespaces"
"""Where a run has the namespaces of its tools, among what is shown again."""
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "name", "tools"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": NAMESPACE},
        "name": {"type": "string"},
        "description": {"type": ["string", "null"]},
        "tools": {"type": "array"},
    },
}


def whole_name(namespace: str | None, name: str) -> str:
    """Return the name of a function as a model gets it."""
    return name if namespace is None else f"{namespace}__{name}"


def with_places(tools: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """
    Yield the functions of a request, each with its place, as chat completions do.

    Raises:
        InvalidRequest: A namespace is invalid.
    """
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if not _is_namespace(tool):
            yield place, wrapped(tool)
            continue
        check_fields(tool, SCHEMA["properties"], place)
        check_kinds(tool, place, description=str)
        named(tool.get("name"), f"{place}.name")
        inner = tool.get("tools")
        if not isinstance(inner, list) or len(inner) > MOST_TOOLS:
            raise invalid(f"{place}.tools", "It has to be a list of up to 128 tools.")
        for number, one in enumerate(inner):
            yield f"{place}.tools[{number}]", wrapped(_named_in(tool, one))


def namespaces_in(tools: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """Return the namespaces of valid tools, with the names of those in them."""
    return [
        {
            "name": tool["name"],
            "description": tool.get("description"),
            "tools": {one["name"]: one.get("description") for one in tool["tools"]},
        }
        for tool in tools
        if _is_namespace(tool)
    ]


def shown_name(run: Run, name: str) -> dict[str, str]:
    """Return the fields of a call with the name of its function."""
    for space in _namespaces_of(run):
        for tool in space["tools"]:
            if whole_name(space["name"], tool) == name:
                return {"name": tool, NAMESPACE: space["name"]}
    return {"name": name}


def in_namespaces(run: Run, tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions of a run as the request had them, in their namespaces."""
    by_name = {tool["name"]: tool for tool in tools}
    spaces = [
        {
            "type": NAMESPACE,
            "name": space["name"],
            "description": space["description"],
            "tools": [
                by_name.pop(whole_name(space["name"], name))
                | {"name": name, "description": description}
                for name, description in space["tools"].items()
            ],
        }
        for space in _namespaces_of(run)
    ]
    return [*by_name.values(), *spaces]


def _named_in(namespace: Mapping[str, Any], tool: Any) -> Any:
    """Return a tool as a model gets it; one that is invalid as it is."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        return tool
    whole = {**tool, "name": whole_name(namespace["name"], tool["name"])}
    told, own = namespace.get("description"), tool.get("description")
    if told and isinstance(own, str | None):
        whole["description"] = f"{told}\n\n{own}" if own else told
    return whole


def _is_namespace(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == NAMESPACE


def _namespaces_of(run: Run) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (run.parameters.echoed or {}).get(ECHOED, ())
    return found
