"""Splitting a list of messages into system prompt, prior messages and prompt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field, WithJsonSchema

from llamakeep.api.openai.calls import Calls, FollowedCalls, calls_in
from llamakeep.api.openai.content import (
    IMAGE_SCHEMA,
    TEXT_PARTS,
    has_images,
    message_schema,
    said_and_refused,
    text_and_images,
    text_of,
)
from llamakeep.api.openai.handed_back import thoughts_in
from llamakeep.api.prompts.reading import (
    MOST_MESSAGES,
    check_not_blank,
    invalid,
    more_than_text,
    name_of,
    required_text,
    unreadable,
)
from llamakeep.domain import (
    Message,
    Part,
    Refusal,
    Role,
    Run,
    Text,
    ToolCall,
)
from llamakeep.domain.messages import message_of
from llamakeep.providers.openai.sealed import DETAILS, EXTRA

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
ROLES_OF_TOOLS = {"tool", "function"}
SAID = {"role", "content", "name"}
SAID_BY_ASSISTANTS = {
    *SAID,
    "refusal",
    "reasoning_content",
    DETAILS,
    EXTRA,
    "tool_calls",
    "function_call",
}

_TEXT = {"type": "string"}
_CALL_SCHEMA = {
    "type": "object",
    "required": ["id", "type", "function"],
    "properties": {
        "id": _TEXT,
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "required": ["name", "arguments"],
            "properties": {"name": _TEXT, "arguments": _TEXT},
        },
    },
}
MESSAGE_SCHEMA = message_schema(
    {
        "anyOf": [
            {
                "type": "object",
                "required": ["type", field],
                "properties": {"type": {"const": kind}, field: _TEXT},
            }
            for kind, field in TEXT_PARTS.items()
        ]
        + [IMAGE_SCHEMA]
    },
    roles=[*ROLES, *sorted(ROLES_OF_TOOLS)],
    name={"type": ["string", "null"]},
    refusal={"type": ["string", "null"]},
    reasoning_content={"type": ["string", "null"]},
    tool_calls={"type": ["array", "null"], "items": _CALL_SCHEMA},
    tool_call_id=_TEXT,
)
ChatMessages = Annotated[
    list[Annotated[dict[str, Any], WithJsonSchema(MESSAGE_SCHEMA)]],
    Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True),
]


class Said(NamedTuple):
    """The parts of a list of messages."""

    prompt: str
    system_prompt: str | None
    earlier: Sequence[Message]
    last_message: Message | None = None
    """The last one, if it has more than the prompt."""
    check_followed: Callable[[Sequence[Run]], None] | None = None
    """Checks the results of calls of the runs that the messages follow."""


def read_instead_of_prompt(
    messages: Sequence[Mapping[str, Any]],
    *,
    prompt: str | None,
    system_prompt: str | None,
    path: str = "",
    is_continued: bool = False,
) -> Said:
    """
    Split a list of messages in a request that could have a prompt instead.

    Args:
        messages: The messages.
        prompt: The request's prompt, which it may not have.
        system_prompt: The request's, which the messages may have instead.
        path: What comes before these fields' names in errors.
        is_continued: Whether the messages follow a run or a conversation.

    Raises:
        InvalidRequest: Both are there, or a message cannot be read.
        UnsupportedParameter: A message has something that no model here can be told.
    """
    if prompt is not None:
        raise invalid(
            f"{path}messages",
            "Send `prompt` or `messages`, not both: the prompt may be the last of "
            'the messages, `{"role": "user", "content": "…"}`.',
        )
    said = read_messages(messages, is_continued=is_continued)
    if system_prompt is None:
        return said
    if said.system_prompt is not None:
        raise invalid(
            f"{path}system_prompt",
            "The messages begin with one of the role `system`, which is the system "
            "prompt. Send one of them.",
        )
    return said._replace(system_prompt=system_prompt)


def read_messages(
    given: Sequence[Mapping[str, Any]], *, is_continued: bool = False
) -> Said:
    """
    Split a list of messages.

    System messages at the start become the system prompt, the last message is the
    prompt, and the rest are prior messages.

    Args:
        given: The messages.
        is_continued: Whether they follow a run, and may begin with the results of its
            calls.

    Raises:
        InvalidRequest: A message cannot be read, a call lacks its result or a result
            its call, or the last message is not a prompt.
        UnsupportedParameter: A message has something that no model here can be told.
    """
    before: list[Message] = []
    followed = FollowedCalls() if is_continued else None
    calls: Calls | None = followed
    """Those of the last assistant's message, while only results follow it."""
    for index, one in enumerate(given):
        where = f"messages[{index}]"
        role = one.get("role")
        if isinstance(role, str) and role in ROLES_OF_TOOLS:
            calls = calls or Calls()
            before.append(calls.result(one, where))
            continue
        if calls is not None:
            calls.check_answered()
            calls = None
        message = _message(one, where)
        if message.parts and any(isinstance(part, ToolCall) for part in message.parts):
            calls = Calls(where, message.parts)
        before.append(message)
    if calls is not None:
        calls.check_answered()
    last = before.pop()
    where = f"messages[{len(before)}]"
    if last.role == "assistant" and last.parts:
        raise invalid(
            where,
            "The last message is what is answered. An assistant's can only be text, "
            "which the model continues: add a message of the role `user`.",
        )
    if last.role != "tool" and not last.parts:
        check_not_blank(last.content, f"{where}.content")
    system = 0
    while system < len(before) and before[system].role == "system":
        system += 1
    rules = "\n\n".join([one.content for one in before[:system] if one.content])
    return Said(
        last.content,
        rules or None,
        tuple(before[system:]),
        more_than_text(last),
        None if followed is None else followed.check,
    )


def place_of_images(
    given: Sequence[Any], path: str = "messages[{}].content[{}].image_url"
) -> str:
    """
    Return the path of the first image in the contents of messages.

    Args:
        given: The messages, or other values.
        path: Of an image, with braces for the number of its message and its own.
    """
    places = (
        path.format(index, number)
        for index, one in enumerate(given)
        if isinstance(one, Mapping) and has_images(one.get("content"))
        for number, part in enumerate(one["content"])
        if has_images([part])
    )
    return next(places, path.partition("{")[0].rstrip("[."))


def place_of_tools(given: Sequence[Mapping[str, Any]]) -> str:
    """Return the path of the first call or result of a tool, in messages with one."""
    places = (
        f"messages[{index}].{field}"
        for index, one in enumerate(given)
        for field in ("tool_calls", "function_call", "tool_call_id")
        if one.get(field)
    )
    return next(places, "messages")


def place_of_last(given: Sequence[Any], path: str = "messages[{}].role") -> str:
    """Return the path of the last message's role."""
    return path.format(len(given) - 1)


def _message(given: Mapping[str, Any], where: str) -> Message:
    role = given.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join((*ROLES, "tool"))
        raise invalid(f"{where}.role", f"It has to be one of {known}.")
    has_more = False
    for field in given.keys() - SAID:
        # Clients send responses back as they got them, with empty fields.
        if given[field]:
            if role != "assistant" or field not in SAID_BY_ASSISTANTS:
                raise unreadable(field, where)
            has_more = True
    content = given.get("content")
    name = name_of(given.get("name"), f"{where}.name")
    if role == "assistant" and (has_more or not isinstance(content, str)):
        return message_of("assistant", _parts(given, where), name)
    if role == "user" and has_images(content):
        return message_of("user", text_and_images(content, f"{where}.content"), name)
    return Message(ROLES[role], text_of(content, f"{where}.content"), name)


def _parts(given: Mapping[str, Any], where: str) -> Sequence[Part]:
    """Return the parts of an assistant's message, in the order of an answer."""
    parts: list[Part] = []
    parts.extend(thoughts_in(given, where))
    said, refused = said_and_refused(given.get("content"), f"{where}.content")
    if said:
        parts.append(Text(said))
    if refused:
        parts.append(Refusal(refused))
    if refusal := given.get("refusal"):
        parts.append(Refusal(required_text(refusal, f"{where}.refusal")))
    parts.extend(calls_in(given, where))
    return parts or [Text()]
