"""Splitting a list of messages into system prompt, prior messages and prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llamakeep.api.openai.content import checked, invalid, said_by
from llamakeep.domain import Message, Role
from llamakeep.domain.messages import LONGEST_NAME
from llamakeep.errors import UnsupportedParameter

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
ROLES_OF_TOOLS = {"tool", "function"}
SAID = {"role", "content", "name"}


class Said(NamedTuple):
    """The parts of a list of messages."""

    prompt: str
    system_prompt: str | None
    earlier: Sequence[Message]
    last_message: Message | None = None
    """The last one, if it has more than the prompt."""


def read_messages(given: Sequence[Mapping[str, Any]]) -> Said:
    """
    Split a list of messages.

    System messages at the start become the system prompt, the last message is the
    prompt, and the rest are prior messages.

    Raises:
        InvalidRequest: A message cannot be read, or the last one is not a prompt.
        UnsupportedParameter: A message has something that is not text.
    """
    said = [_message(one, f"messages[{index}]") for index, one in enumerate(given)]
    *before, last = said
    where = f"messages[{len(before)}]"
    if last.role != "user":
        raise invalid(
            f"{where}.role",
            f"The last message has to be the user's: it is what is answered, and this "
            f"one is the {given[-1]['role']}'s. Add a message of the role `user`.",
        )
    if not last.content or last.content.isspace():
        raise invalid(f"{where}.content", "It is empty. Write something.")
    system = 0
    while system < len(before) and before[system].role == "system":
        system += 1
    rules = "\n\n".join(one.content for one in before[:system] if one.content)
    has_more = last.name is not None
    return Said(
        last.content,
        rules or None,
        tuple(before[system:]),
        last if has_more else None,
    )


def _message(given: Mapping[str, Any], where: str) -> Message:
    role = given.get("role")
    if isinstance(role, str) and role in ROLES_OF_TOOLS:
        raise UnsupportedParameter(
            f"{where}: no model here calls tools, so a message of the role {role!r} "
            "cannot be used. Nothing was stored. Leave it out.",
            parameters=[f"{where}.role"],
        )
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise invalid(f"{where}.role", f"It has to be one of {known}.")
    for name in given.keys() - SAID:
        # Clients send responses back as they got them, with empty fields.
        if given[name]:
            raise UnsupportedParameter(
                f"{where}: a model here reads a message's role and text, and nothing "
                f"else. Nothing was stored. Leave {name[:64]!a} out.",
                parameters=[f"{where}.{name[:64]}"],
            )
    content = said_by(role, given.get("content"), f"{where}.content")
    return Message(ROLES[role], content, name_of(given.get("name"), f"{where}.name"))


def name_of(given: Any, where: str) -> str | None:
    """
    Return the name in a message, if there is one.

    Raises:
        InvalidRequest: It is too long, or no text that databases can store.
    """
    if given is None or given == "":
        return None
    if not isinstance(given, str) or len(given) > LONGEST_NAME:
        raise invalid(where, f"It has to be text of up to {LONGEST_NAME} characters.")
    return checked(given, where)
