"""Parsing of message content: text, or a list of parts with text and images."""

from collections.abc import Sequence
from typing import Any, TypeGuard

from llamakeep.api.prompts.reading import checked, invalid, required_text
from llamakeep.domain import Image, Part, Text
from llamakeep.errors import UnsupportedParameter
from llamakeep.schemas.images import DETAILS, read_image

TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
"""The types of parts that are text, each with the field that has it."""

IMAGE_PARTS = ("image_url", "input_image")
"""The types of parts that are images, in chat completions and in responses."""
_DETAIL = {"anyOf": [{"enum": list(DETAILS)}, {"type": "null"}]}
_URL = {"type": "string", "pattern": "^(data|https):"}
IMAGE_SCHEMA = {
    "type": "object",
    "required": ["type", "image_url"],
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {
            "type": "object",
            "required": ["url"],
            "properties": {"url": _URL, "detail": _DETAIL},
        },
    },
}
FLAT_IMAGE_SCHEMA = {
    "type": "object",
    "required": ["type", "image_url"],
    "properties": {
        "type": {"const": "input_image"},
        "image_url": _URL,
        "detail": _DETAIL,
    },
}
"""Images in chat completions, and in responses."""

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


def has_images(content: Any) -> TypeGuard[list[Any]]:
    """Return whether there are images in a message's content."""
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") in IMAGE_PARTS for part in content
    )


def text_and_images(content: Sequence[Any], param: str) -> Sequence[Part]:
    """
    Return the text and the images of a message's content.

    Parts with text that follow each other are one, as `text_of` returns it.

    Raises:
        InvalidRequest: An image cannot be taken, or as `text_of`.
        UnsupportedParameter: A part is a sound or a file.
    """
    found: list[Part] = []
    texts: list[str] = []
    for index, part in enumerate(content):
        place = f"{param}[{index}]"
        if isinstance(part, dict) and part.get("type") in IMAGE_PARTS:
            if texts:
                found.append(Text("\n".join(texts)))
                texts = []
            found.append(_image(part, place))
        else:
            texts.append(_part(part, place))
    return [*found, Text("\n".join(texts))] if texts else found


def _image(part: dict[str, Any], param: str) -> Image:
    if part.get("file_id") is not None:
        raise UnsupportedParameter(
            f"{param}: no files are kept here. Nothing was stored. Send the image "
            "itself, in a `data:` URL, or its https address.",
            parameters=[f"{param}.file_id"],
        )
    url: Any = part.get("image_url")
    detail = part.get("detail")
    if isinstance(url, dict):
        url, detail = url.get("url"), url.get("detail")
    return read_image(url, f"{param}.image_url", detail=detail)


def _part(part: Any, param: str) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise invalid(param, 'A part is an object such as `{"type": "text", …}`.')
    kind = part["type"]
    if kind not in TEXT_PARTS:
        raise UnsupportedParameter(
            f"{param}: there is no part of the type {kind[:64]!a} that the models here "
            "read in such a message. Nothing was stored. Leave it out.",
            parameters=[param],
        )
    field = TEXT_PARTS[kind]
    return required_text(part.get(field), f"{param}.{field}")
