"""Calls of tools in messages, and their results."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llamakeep.api.openai.content import text_of
from llamakeep.api.openai.handed_back import handed_back_with
from llamakeep.api.prompts.reading import (
    OpenCalls,
    call_id_in,
    checked,
    invalid,
    name_of,
    named,
    unanswered,
    unreadable,
)
from llamakeep.domain import Message, Part, Reasoning, Run, ToolCall, ToolResult
from llamakeep.domain.messages import message_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.openai.sealed import EXTRA

_IN_RESULTS = {"role", "content", "name", "tool_call_id"}
_IN_CALLS = {"id", "type", "function", "index", EXTRA}
"""Clients that gather the pieces of a stream keep the index, which says nothing."""
_IN_FUNCTIONS = {"name", "arguments", "parsed_arguments"}
"""What a client parsed is in the arguments."""


class Calls(OpenCalls):
    """The calls of an assistant's message in chat completions."""

    add_results = (
        "After this message and before any other, add one of the role `tool` for each, "
        "with its `tool_call_id`."
    )
    put_result = (
        "Put a result right after the assistant's message with its call in "
        "`tool_calls`."
    )

    def __init__(self, where: str = "", parts: Sequence[Part] = ()) -> None:
        super().__init__(f"{where}.tool_calls", parts)

    def result(self, given: Mapping[str, Any], where: str) -> Message:
        """
        Return the message with the result of a call.

        Raises:
            InvalidRequest: It is not one of these calls, or has a result already.
            UnsupportedParameter: The result is not text.
        """
        for field in given.keys() - _IN_RESULTS:
            if given[field]:
                raise unreadable(field, where)
        content = given.get("content")
        is_older = given["role"] == "function"
        name = given.get("name")
        if is_older:
            call_id = self._id_of(name, where)
            name = None
        else:
            call_id = call_id_in(given.get("tool_call_id"), f"{where}.tool_call_id")
        self.take(call_id, f"{where}.tool_call_id")
        text = "" if content == [] else text_of(content, f"{where}.content")
        name = name_of(name, f"{where}.name")
        return message_of("tool", [ToolResult(call_id, text)], name)

    def _id_of(self, name: Any, where: str) -> str:
        [*calls] = self._open.items() if len(self._open) == 1 else ()
        for call_id, called in calls:
            if called == name:
                return call_id
        named(name, f"{where}.name")
        raise invalid(
            f"{where}.name",
            "The message before calls no function of this name. Put a result right "
            "after the assistant's message with its `function_call`.",
        )


class FollowedCalls(Calls):
    """The calls of the run that messages follow, which is read after them."""

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, str] = {}
        """The ids of calls, and where the result of each is."""

    def take(self, call_id: str, where: str) -> None:
        """
        Take the result of a call.

        Raises:
            InvalidRequest: It has a result already.
        """
        if (first := self._results.setdefault(call_id, where)) != where:
            raise invalid(
                where, f"{first} is of this call, too. Send one result of each."
            )

    def check_answered(self) -> None:
        """Leave it to `check`."""

    def check(self, prior: Sequence[Run]) -> None:
        """
        Check that the results are those of the open calls before them, all or none.

        Without any, the model does not get the calls.

        Args:
            prior: The runs that the messages follow, oldest first.

        Raises:
            InvalidRequest: A result lacks its call, or a call its result.
        """
        if self._results:
            calls = _LastCalls("messages", unanswered(prior))
            for call_id, where in self._results.items():
                calls.take(call_id, where)
            calls.check_answered()


class _LastCalls(OpenCalls):
    add_results = (
        "Begin with a message of the role `tool` for each, with its `tool_call_id`."
    )
    put_result = (
        "The run that is continued did not make it. Name the one that did in "
        "`previous_run_id`, or put a result right after the assistant's message with "
        "its call in `tool_calls`."
    )


def calls_in(given: Mapping[str, Any], where: str) -> Iterator[ToolCall | Reasoning]:
    """
    Yield the calls of an assistant's message, and what is handed back with them.

    Raises:
        InvalidRequest: One cannot be read, or two have the same id.
        UnsupportedParameter: One is not of a function.
    """
    if older := given.get("function_call"):
        if given.get("tool_calls"):
            raise invalid(
                f"{where}.function_call",
                "It is the older form of `tool_calls`. Send one of them.",
            )
        place = f"{where}.function_call"
        # Such calls have no ids: results name the function, and follow at once.
        call_id = f"call_{where.removeprefix('messages[').removesuffix(']')}"
        yield _called(older, call_id, place)
    calls = given.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        raise invalid(f"{where}.tool_calls", "It has to be a list of calls.")
    places: dict[str, int] = {}
    for index, one in enumerate(calls):
        place = f"{where}.tool_calls[{index}]"
        if not isinstance(one, Mapping):
            raise invalid(place, "A call is an object with an `id` and a `function`.")
        kind = one.get("type", "function")
        if kind != "function":
            raise UnsupportedParameter(
                f"{place}: the models here call functions, and nothing of the type "
                f"{str(kind)[:64]!a}. Nothing was stored. Leave it out.",
                parameters=[f"{place}.type"],
            )
        for field in one.keys() - _IN_CALLS:
            if one[field]:
                raise unreadable(field, place)
        call_id = call_id_in(one.get("id"), f"{place}.id")
        if (first := places.setdefault(call_id, index)) != index:
            raise invalid(
                f"{place}.id",
                f"{where}.tool_calls[{first}] has this id, too. Give each its own.",
            )
        yield from handed_back_with(one, call_id, place)
        yield _called(one.get("function"), call_id, f"{place}.function")


def _called(given: Any, call_id: str, where: str) -> ToolCall:
    if not isinstance(given, Mapping):
        raise invalid(where, "It has to be an object with a `name` and `arguments`.")
    for field in given.keys() - _IN_FUNCTIONS:
        if given[field]:
            raise unreadable(field, where)
    return read_call(given, call_id, where)


def read_call(given: Mapping[str, Any], call_id: str, where: str) -> ToolCall:
    """
    Read the `name` and the `arguments` of a call.

    Raises:
        InvalidRequest: One of them is no text, or none that databases can store.
    """
    name = named(given.get("name"), f"{where}.name")
    arguments = given.get("arguments")
    if not isinstance(arguments, str):
        raise invalid(
            f"{where}.arguments",
            "It has to be text: the arguments as the model wrote them.",
        )
    return ToolCall(call_id, name, checked(arguments, f"{where}.arguments"))
