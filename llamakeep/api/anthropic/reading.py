"""Splitting a request into system prompt, prior messages and prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llamakeep.api.anthropic.content import (
    CONTENT_SCHEMA,
    blocks_in,
    returned_in,
    said_in_answer,
    text_of,
    told_in,
)
from llamakeep.api.prompts.reading import (
    OpenCalls,
    check_not_blank,
    invalid,
    more_than_text,
    unreadable,
)
from llamakeep.domain import Message, Part, Text, ToolCall
from llamakeep.domain.messages import message_of

ROLES = ("user", "assistant", "system")
_FIELDS = {"role", "content"}

MESSAGE_SCHEMA = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": [*ROLES]}, "content": CONTENT_SCHEMA},
}


class Said(NamedTuple):
    """The parts of a list of messages."""

    prompt: str
    earlier: Sequence[Message]
    last_message: Message | None = None
    """The last one, if it has more than the prompt."""


class _Calls(OpenCalls):
    """The calls of an assistant's message."""

    # The first words are Anthropic's.
    missing = "`tool_use` ids were found without `tool_result` blocks after: {calls}."
    add_results = (
        "Begin the next message, which is the user's, with a `tool_result` for each, "
        "with its id as `tool_use_id`."
    )
    put_result = (
        "Put results at the beginning of the user's message right after the "
        "assistant's with the `tool_use`."
    )


def read_messages(given: Sequence[Mapping[str, Any]]) -> Said:
    """
    Split a list of messages: the last one is the prompt.

    The result of each tool becomes a message of its own.

    Raises:
        InvalidRequest: A message cannot be read, a call lacks its result or a result
            its call, or the last message is not a prompt.
        UnsupportedParameter: A message has something that no model here can be told.
    """
    reader = _Reader()
    for index, one in enumerate(given):
        reader.read(one, f"messages.{index}")
    reader.close()
    last = reader.messages.pop()
    where = f"messages.{len(given) - 1}"
    if last.role == "assistant" and last.parts:
        raise invalid(
            where,
            "The last message is what is answered. An assistant's can only be text, "
            "which the model continues (a prefill): add a message of the role `user`.",
        )
    if last.role != "tool" and not last.parts:
        check_not_blank(last.content, f"{where}.content")
    return Said(last.content, tuple(reader.messages), more_than_text(last))


class _Reader:
    """Gathers messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._calls = _Calls()

    def read(self, given: Mapping[str, Any], where: str) -> None:
        role, content = given.get("role"), given.get("content")
        if role not in ROLES:
            raise invalid(f"{where}.role", f"It has to be one of {', '.join(ROLES)}.")
        for field in given.keys() - _FIELDS:
            if given[field] is not None:
                raise unreadable(field, where)
        place = f"{where}.content"
        match role:
            case "user":
                self._read_user(content, place)
            case "assistant":
                self.close()
                parts = said_in_answer(content, place)
                self.messages.append(message_of("assistant", parts))
                if any(isinstance(part, ToolCall) for part in parts):
                    self._calls = _Calls(place, parts)
            case _:
                self.close()
                self.messages.append(Message("system", text_of(content, place)))

    def close(self) -> None:
        """
        Read the end, or what is no result.

        Raises:
            InvalidRequest: A call lacks its result.
        """
        self._calls.check_answered()
        self._calls = _Calls()

    def _read_user(self, content: Any, where: str) -> None:
        told: list[tuple[str, Mapping[str, Any], str]] = []
        for kind, block, place in blocks_in(content, "user", where):
            if kind == "tool_result":
                result, images = returned_in(block, place)
                self._calls.take(result.call_id, f"{place}.tool_use_id")
                self.messages.append(message_of("tool", [result, *images]))
                continue
            self.close()
            told.append((kind, block, place))
        if told or not content:
            parts: Sequence[Part] = [*told_in(told)] or [Text()]
            self.messages.append(message_of("user", parts))
