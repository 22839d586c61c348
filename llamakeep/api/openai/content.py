"""Parsing of message content: text, or a list of parts with text."""

from collections.abc import Sequence
from typing import Any

from llamakeep.api.prompts.reading import checked, invalid
from llamakeep.errors import UnsupportedParameter

TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
"""The types of parts that are text, each with the field that has it."""


_ROLES = ("system", "developer", "user", "assistant")


def message_schema(
    part: dict[str, Any], *, roles: Sequence[str] = _ROLES, **properties: Any
) -> dict[str, Any]:
    """Return the JSON schema of a message, whose content is text or such parts."""
    parts = {"type": "array", "items": part}
    content = {"anyOf": [{"type": "string"}, {"type": "null"}, parts]}
    known = {**properties, "role": {"enum": list(roles)}, "content": content}
    return {"type": "object", "required": ["role"], "properties": known}


def said_by(role: str, content: Any, param: str) -> str:
    """
    Return the text of a message; only an assistant's may be empty.

    Raises:
        InvalidRequest: As `text_of`.
        UnsupportedParameter: As `text_of`.
    """
    if role == "assistant" and content in (None, []):
        return ""
    return text_of(content, param)


def said_and_refused(content: Any, param: str) -> tuple[str, str]:
    """
    Return the text of an assistant's message, and of its parts that are refusals.

    Raises:
        InvalidRequest: As `text_of`.
        UnsupportedParameter: As `text_of`.
    """
    if not isinstance(content, list):
        return said_by("assistant", content, param), ""
    said: list[str] = []
    refused: list[str] = []
    for index, part in enumerate(content):
        text = _part(part, f"{param}[{index}]")
        (refused if part["type"] == "refusal" else said).append(text)
    return "\n".join(said), "\n".join(refused)


def text_of(content: Any, param: str) -> str:
    """
    Return the text of a message's content, with each part on lines of its own.

    The content's path in the request is `param`, such as `messages[0].content`.

    Raises:
        InvalidRequest: It is neither, or text that no database can store.
        UnsupportedParameter: A part is an image, a sound or a file.
    """
    if isinstance(content, str):
        return checked(content, param)
    if not isinstance(content, list) or not content:
        raise invalid(param, "It has to be text, or a list of parts with text.")
    texts = (_part(part, f"{param}[{index}]") for index, part in enumerate(content))
    return "\n".join(texts)


def _part(part: Any, param: str) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise invalid(param, 'A part is an object such as `{"type": "text", …}`.')
    kind = part["type"]
    if kind not in TEXT_PARTS:
        raise UnsupportedParameter(
            f"{param}: this server reads text only, so it cannot take a part of the "
            f"type {kind[:64]!a}. Nothing was stored.",
            parameters=[param],
        )
    field = TEXT_PARTS[kind]
    text = part.get(field)
    if not isinstance(text, str):
        raise invalid(f"{param}.{field}", "It has to be text.")
    return checked(text, f"{param}.{field}")
