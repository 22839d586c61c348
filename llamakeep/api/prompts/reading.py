"""Reading the messages of a request: what all APIs check alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from llamakeep.domain import Message, Part, Run, RunStatus, ToolCall, ToolResult
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME
from llamakeep.domain.runs import CLIENT
from llamakeep.errors import InvalidRequest, UnsupportedParameter
from llamakeep.schemas.text import check_json, check_text

MOST_MESSAGES = 4096
"""
Messages, or items, that a request may have.

They are read on the event loop, which as many tiny ones as a body has room for would
hold for most of a second.
"""
_MOST_NAMED = 16
_KINDS: Mapping[type, str] = {
    str: "text",
    dict: "an object, which is a JSON Schema",
    bool: "true or false",
}


class OpenCalls:
    """
    Calls of tools, whose results have to follow them.

    Args:
        where: Their path in the request.
        parts: The parts among which they are.
    """

    missing = "There is no result of {calls}."
    """How the error of calls without results begins."""
    add_results = ""
    """What to do about them."""
    put_result = ""
    """Where a result has to be."""

    def __init__(self, where: str = "", parts: Sequence[Part] = ()) -> None:
        self._where = where
        self._names = {
            part.call_id: part.name for part in parts if isinstance(part, ToolCall)
        }
        self._open = dict(self._names)

    def take(self, call_id: str, where: str) -> None:
        """
        Take the result of a call.

        Raises:
            InvalidRequest: It is not one of these calls, or has a result already.
        """
        if call_id in self._open:
            del self._open[call_id]
            return
        shown = f"{call_id[:64]!a}"
        if call_id in self._names:
            raise invalid(where, f"The call {shown} has a result already. Send one.")
        raise invalid(where, f"There is no call {shown} before it. {self.put_result}")

    def check_answered(self) -> None:
        """
        Check that each call has its result.

        Raises:
            InvalidRequest: It names the calls that have none.
        """
        if self._open:
            some = [ascii(each[:64]) for each in list(self._open)[:_MOST_NAMED]]
            more = len(self._open) - len(some)
            calls = f"{', '.join(some)}{f' and {more} more' if more else ''}"
            missing = self.missing.format(calls=calls)
            raise invalid(self._where, f"{missing} {self.add_results}")


def unanswered(prior: Sequence[Run]) -> Sequence[ToolCall]:
    """
    Return the calls of the last answer, and of what was added since, to answer.

    Args:
        prior: The runs that are continued, oldest first.
    """
    parts: list[Part] = []
    for run in reversed(prior):
        if run.provider != CLIENT:
            output = run.output
            if run.status is RunStatus.INTERRUPTED:
                output = output[:-1]  # that is where it broke off
            parts = [*output, *parts]
            break
        parts = [*(run.last_message.parts if run.last_message else ()), *parts]
    answered = {part.call_id for part in parts if isinstance(part, ToolResult)}
    return [
        part
        for part in parts
        if isinstance(part, ToolCall) and part.call_id not in answered
    ]


def checked(text: str, param: str) -> str:
    """
    Return `text`, if databases can store it.

    Raises:
        InvalidRequest: They cannot.
    """
    try:
        return check_text(text)
    except ValueError as error:
        raise invalid(param, str(error)) from None


def required_text(given: Any, param: str) -> str:
    """
    Return a text.

    Raises:
        InvalidRequest: It is none, or none that databases can store.
    """
    if not isinstance(given, str):
        raise invalid(param, "It has to be text.")
    return checked(given, param)


def checked_json(given: dict[str, Any], param: str) -> dict[str, Any]:
    """
    Return an object, if databases can store it.

    Raises:
        InvalidRequest: They cannot.
    """
    try:
        return check_json(given)
    except ValueError as error:
        raise invalid(param, str(error)) from None


def check_kinds(given: Mapping[str, Any], where: str, **kinds: type) -> None:
    """
    Check that the fields of an object are of some kinds, or not there.

    Raises:
        InvalidRequest: One is of another kind.
    """
    for field, kind in kinds.items():
        if not isinstance(given.get(field), kind | None):
            raise invalid(f"{where}.{field}", f"It has to be {_KINDS[kind]}.")


def check_not_blank(text: str, param: str) -> None:
    """
    Check that a prompt has text.

    Raises:
        InvalidRequest: It has none.
    """
    if not text or text.isspace():
        raise invalid(param, "It is empty. Write something.")


def invalid(param: str, message: str) -> InvalidRequest:
    """Return the error of one invalid parameter."""
    return InvalidRequest.of(param, message)


def call_id_in(given: Any, where: str) -> str:
    """
    Return the id of a tool call.

    Raises:
        InvalidRequest: As `named` does.
    """
    return named(given, where, LONGEST_CALL_ID)


def named(given: Any, where: str, longest: int = LONGEST_NAME) -> str:
    """
    Return a name or an id.

    Raises:
        InvalidRequest: It is empty, too long, or no text that databases can store.
    """
    if not isinstance(given, str) or not 0 < len(given) <= longest:
        raise invalid(where, f"It has to be text of 1 to {longest} characters.")
    return checked(given, where)


def unreadable(field: str, where: str) -> UnsupportedParameter:
    """Return the error of a field that no model here can be told."""
    return UnsupportedParameter(
        f"{where}: no model here reads this field of a message. Nothing was stored. "
        f"Leave {field[:64]!a} out.",
        parameters=[f"{where}.{field[:64]}"],
    )


def name_of(given: Any, where: str) -> str | None:
    """
    Return the name in a message, if there is one.

    Raises:
        InvalidRequest: It is too long, or no text that databases can store.
    """
    if given is None or given == "":
        return None
    return named(given, where)


def more_than_text(last: Message) -> Message | None:
    """Return the last message, if it is more than a user's text."""
    has_more = last.role != "user" or last.name is not None or last.parts
    return last if has_more else None
