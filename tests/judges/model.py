"""The model that the judges ask: it calls whatever tool there is."""

import json
from collections.abc import Iterator
from typing import Any

from llamakeep.api.openai.responses.summaries import HEADING, INSTRUCTION
from tests.tool_upstream import Upstream

ANSWER = "It is -3 and 7."
BOTH = f"{ANSWER} It is 7."
"""What two turns say: about both cities, and about Bergen alone."""
RECALLED = f"{HEADING}They say: it is -3 and 7."
"""What it reads of a conversation that was compacted."""
ADA = {"name": "Ada", "age": 36}
WEATHER = "get_weather"
SHELL = "exec_command"
BASH = "Bash"
READ = "until [ -s note.txt ]; do sleep 0.1; done; cat note.txt"
"""What it runs with a shell: it reads the note as soon as there is one."""
_CITIES = ("Oslo", "Bergen")
_RECALL = "What did you say?"
_SUMMARY = "They say: it is {}."
_BEGUN = len("They")
"""How much of a summary comes before the rest of it."""


class Caller(Upstream):
    """
    A model that calls all that its clients make of tools.

    It looks up the weather of cities, hands over to an agent that is offered by a tool
    `transfer_to_…`, and hands in a form by the tool that is made of it: when it has to,
    and when it has said all else. With a shell, it reads a note. It summarizes a
    conversation by the results of its tools, and says what it said before.
    """

    def deltas(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        calls, recalled = [*calls_of(body)], _recalled(body["messages"])
        if not (calls or recalled):
            yield from super().deltas(body)
            return
        self.asked.append(body)
        yield {"role": "assistant", "content": None}
        if recalled is not None:
            yield {"content": recalled[:_BEGUN]}
            yield {"content": recalled[_BEGUN:]}
        for index, (name, arguments) in enumerate(calls):
            call_id = f"call_{len(self.asked)}_{index}"
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": call_id, "type": "function"}
            yield {"tool_calls": [call | {"function": function}]}
            text = json.dumps(arguments)
            for piece in (text[:5], text[5:]):
                yield {
                    "tool_calls": [{"index": index, "function": {"arguments": piece}}]
                }

    def stall_in(self, delta: dict[str, Any]) -> None:
        """Say no more for a while, also in the text of a summary."""
        if delta.get("content") == _SUMMARY[:_BEGUN]:
            delta = {"tool_calls": [{"function": {"arguments": delta["content"]}}]}
        super().stall_in(delta)


def calls_of(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the model calls, with the arguments."""
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        names = [choice["function"]["name"]]
    messages = body["messages"]
    if BASH in names:
        if not any(one["role"] == "tool" for one in messages):
            yield BASH, {"command": READ, "description": "Read the note"}
        return
    if SHELL in names:
        if messages[-1]["role"] == "user":
            yield SHELL, {"cmd": READ, "yield_time_ms": 30_000}
        return
    asked = next(one["content"] for one in reversed(messages) if one["role"] == "user")
    cities = [city for city in _CITIES if city in asked]
    is_told = messages[-1]["role"] == "tool" and _is_about_weather(messages)
    handovers = [name for name in names if name.startswith("transfer_to_")]
    forms = [name for name in names if name != WEATHER and name not in handovers]
    if WEATHER in names and cities and not is_told:
        yield from ((WEATHER, {"city": city}) for city in cities)
    elif handovers and messages[-1]["role"] == "user":
        yield handovers[0], {}
    elif forms:
        yield forms[0], ADA


def _recalled(messages: list[dict[str, Any]]) -> str | None:
    """Return what the model says if it is asked about what was said."""
    match messages[-1]["content"]:
        case str(said) if said == INSTRUCTION:
            results = [one["content"] for one in messages if one["role"] == "tool"]
            return _SUMMARY.format(" and ".join(results))
        case str(said) if said == _RECALL:
            [*_, last] = [one for one in messages if one["role"] == "assistant"]
            return str(last["content"])
    return None


def _is_about_weather(messages: list[dict[str, Any]]) -> bool:
    calls = [call for one in messages for call in one.get("tool_calls") or ()]
    names = {call["id"]: call["function"]["name"] for call in calls}
    return names.get(messages[-1]["tool_call_id"]) == WEATHER
