"""What a message says: a text, or a list of parts that are texts."""

from typing import Any

from llamakeep.api.http.text import check_text
from llamakeep.errors import FieldError, InvalidRequest, UnsupportedParameter

TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
"""The types of parts that are text, and the field that has it."""


def said_by(role: str, content: Any, param: str) -> str:
    """
    Return the text of a message; an assistant may have said nothing.

    Raises:
        InvalidRequest: It is no text that can be kept.
        UnsupportedParameter: A part is an image, a sound or a file.
    """
    if role == "assistant" and content in (None, []):
        return ""
    return text_of(content, param)


def text_of(content: Any, param: str) -> str:
    """
    Return the text of a message's content; several parts are lines of their own.

    Args:
        content: As the client sent it: text, or parts.
        param: Where it was, such as `messages[0].content`.

    Raises:
        InvalidRequest: It is neither, or not text that can be kept.
        UnsupportedParameter: A part is an image, a sound or a file.
    """
    if isinstance(content, str):
        return checked(content, param)
    if not isinstance(content, list) or not content:
        raise invalid(param, "It has to be text, or a list of parts with text.")
    texts = (_part(part, f"{param}[{index}]") for index, part in enumerate(content))
    return "\n".join(texts)


def checked(text: str, param: str) -> str:
    """
    Return `text`, if it can be kept.

    Raises:
        InvalidRequest: No database can keep it.
    """
    try:
        return check_text(text)
    except ValueError as error:
        raise invalid(param, str(error)) from None


def invalid(param: str, message: str) -> InvalidRequest:
    """Return the error that says what is wrong with one parameter."""
    return InvalidRequest(errors=[FieldError(param, message)])


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
