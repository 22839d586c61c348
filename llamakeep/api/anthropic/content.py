"""Reading the content of messages: text, or a list of blocks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from llamakeep.api.anthropic.calls import call_of
from llamakeep.api.prompts.reading import (
    call_id_in,
    checked,
    invalid,
    required_text,
    unreadable,
)
from llamakeep.domain import Image, Part, Reasoning, Text, ToolCall, ToolResult
from llamakeep.errors import UnsupportedParameter
from llamakeep.schemas.images import read_base64, read_image

_TEXT = {"type": "string"}
_ONLY: Mapping[str, Sequence[Any]] = {
    "cache_control": (),
    "caller": ({"type": "direct"},),
    "citations": ([], {"enabled": False}),
}
"""Fields of blocks that say nothing to a model, with their values if not all do."""
_FIELDS: Mapping[str, set[str]] = {
    "text": {"text"},
    "image": {"source"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "document": {"source", "title", "context"},
    "search_result": {"source", "title", "content"},
}
_RESULT = "tool"
"""The role of what a tool returns, which is a block of a user's message."""
_TOLD = ("text", "image", "document", "search_result")
_SAID_BY = {
    "user": (*_TOLD, "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
    "system": ("text",),
    _RESULT: _TOLD,
}


def block_schema(kind: str, *required: str, **more: Any) -> dict[str, Any]:
    """Return the JSON schema of a block whose required fields are text."""
    return {
        "type": "object",
        "required": ["type", *required],
        "properties": {
            "type": {"const": kind},
            **dict.fromkeys(required, _TEXT),
            **more,
        },
    }


_TEXTS = {"type": "array", "items": block_schema("text", "text")}
TEXT_SCHEMA = {"anyOf": [_TEXT, _TEXTS]}
SOURCE_SCHEMA = {
    "anyOf": [
        block_schema("base64", "media_type", "data"),
        block_schema("url", url={"type": "string", "pattern": "^(data|https):"}),
    ]
}
_TOLD_SCHEMAS = [
    block_schema("text", "text"),
    block_schema("image", source=SOURCE_SCHEMA),
    block_schema(
        "document",
        source={
            "anyOf": [
                block_schema("text", "data"),
                block_schema("content", content=TEXT_SCHEMA),
            ]
        },
    ),
    block_schema("search_result", "source", "title", content=_TEXTS),
]
CONTENT_SCHEMA = {
    "anyOf": [
        _TEXT,
        {
            "type": "array",
            "items": {
                "anyOf": [
                    *_TOLD_SCHEMAS,
                    block_schema("thinking", "thinking", signature=_TEXT),
                    block_schema("redacted_thinking", "data"),
                    block_schema("tool_use", "id", "name", input={"type": "object"}),
                    block_schema(
                        "tool_result",
                        "tool_use_id",
                        content={
                            "anyOf": [
                                _TEXT,
                                {"type": "array", "items": {"anyOf": _TOLD_SCHEMAS}},
                            ]
                        },
                        is_error={"type": "boolean"},
                    ),
                ]
            },
        },
    ]
}


def blocks_in(
    content: Any, role: str, where: str
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """
    Yield the blocks of a message: the type of each, the block, and its path.

    Raises:
        InvalidRequest: There is something else.
        UnsupportedParameter: A block is of a type that no model here reads.
    """
    if isinstance(content, str):
        yield "text", {"text": content}, where
        return
    if not isinstance(content, list):
        raise invalid(where, "It has to be text, or a list of blocks.")
    for index, block in enumerate(content):
        place = f"{where}.{index}"
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise invalid(place, 'A block is an object such as `{"type": "text", …}`.')
        kind = block["type"]
        if kind not in _SAID_BY[role]:
            raise _refused(kind, role, place)
        for field in block.keys() - _FIELDS[kind] - {"type"}:
            if block[field] is not None and not _is_ignored(field, block[field]):
                raise unreadable(field, place)
        yield kind, block, place


def text_in(block: Mapping[str, Any], where: str) -> str:
    """
    Return the text of a block.

    Raises:
        InvalidRequest: There is none, or it is no text that databases can store.
    """
    text = block.get("text")
    if not isinstance(text, str):
        raise invalid(f"{where}.text", "It has to be text.")
    return checked(text, where)


def told_in(
    blocks: Iterable[tuple[str, Mapping[str, Any], str]],
) -> Iterator[Text | Image]:
    """
    Yield the texts and the images of a user's blocks, or of a tool's.

    Texts that follow each other are one, each on lines of its own.

    Raises:
        InvalidRequest: A block cannot be read.
        UnsupportedParameter: A document or an image is none that a model here reads.
    """
    texts: list[str] = []
    for kind, block, place in blocks:
        if kind != "image":
            texts.append(_READERS[kind](block, place))
            continue
        if texts:
            yield Text("\n".join(texts))
            texts = []
        yield image_in(block, place)
    if texts:
        yield Text("\n".join(texts))


def _document_in(block: Mapping[str, Any], where: str) -> str:
    place = f"{where}.source"
    match block.get("source"):
        case {"type": "text", **source}:
            text = required_text(source.get("data"), f"{place}.data")
        case {"type": "content", **source}:
            text = text_of(source.get("content"), f"{place}.content")
        case _:
            raise UnsupportedParameter(
                f"{place}: documents are read here if they are text. Nothing was "
                "stored. Send a source of the type `text` or `content`.",
                parameters=[f"{place}.type"],
            )
    return _with_heads(block, where, ("title", "context"), text)


def _search_result_in(block: Mapping[str, Any], where: str) -> str:
    text = text_of(block.get("content"), f"{where}.content")
    return _with_heads(block, where, ("title", "source"), text)


def _with_heads(
    block: Mapping[str, Any], where: str, names: Sequence[str], text: str
) -> str:
    """Return a text with those fields of its block above it that are there."""
    heads = [
        required_text(block[name], f"{where}.{name}")
        for name in names
        if block.get(name) is not None
    ]
    return "\n".join([*heads, text])


def image_in(block: Mapping[str, Any], where: str) -> Image:
    """
    Return the image of a block.

    Raises:
        InvalidRequest: It is none that can be taken.
        UnsupportedParameter: It is a file that is kept elsewhere.
    """
    place = f"{where}.source"
    match block.get("source"):
        case {"type": "base64", **source}:
            data, media_type = source.get("data"), source.get("media_type")
            return read_base64(data, f"{place}.data", media_type)
        case {"type": "url", **source}:
            return read_image(source.get("url"), f"{place}.url")
        case {"type": "file"}:
            raise UnsupportedParameter(
                f"{place}: no files are kept here. Nothing was stored. Send the image "
                "itself, as base64, or its https address.",
                parameters=[f"{place}.type"],
            )
    raise invalid(place, "It has to be an object of the type `base64` or `url`.")


def text_of(content: Any, where: str) -> str:
    """
    Return text, or that of a list of blocks, each on lines of its own.

    Raises:
        InvalidRequest: It is neither, or text that no database can store.
        UnsupportedParameter: A block is not text.
    """
    blocks = blocks_in(content, "system", where)
    return "\n".join([text_in(block, place) for _, block, place in blocks])


def said_in_answer(content: Any, where: str) -> Sequence[Part]:
    """
    Return the parts of an assistant's message.

    Raises:
        InvalidRequest: A block cannot be read, or two calls have the same id.
        UnsupportedParameter: A block is of a type that no model here reads.
    """
    parts: list[Part] = []
    places: dict[str, str] = {}
    for kind, block, place in blocks_in(content, "assistant", where):
        match kind:
            case "text":
                if text := text_in(block, place):
                    parts.append(Text(text))
            case "tool_use":
                call: ToolCall = call_of(block, place)
                if (first := places.setdefault(call.call_id, place)) != place:
                    raise invalid(
                        f"{place}.id", f"{first} has this id, too. Give each its own."
                    )
                parts.append(call)
            case "thinking":
                if thoughts := required_text(
                    block.get("thinking"), f"{place}.thinking"
                ):
                    parts.append(Reasoning(thoughts))
            case _:
                sealed = required_text(block.get("data"), f"{place}.data")
                parts.append(Reasoning(sealed=sealed))
    return parts or [Text()]


def returned_in(
    block: Mapping[str, Any], where: str
) -> tuple[ToolResult, Sequence[Image]]:
    """
    Return the result of a `tool_result` block, with its text, and its images.

    Raises:
        InvalidRequest: It names no call, or cannot be read.
        UnsupportedParameter: It has what no model here reads.
    """
    call_id = call_id_in(block.get("tool_use_id"), f"{where}.tool_use_id")
    has_failed = block.get("is_error")
    if not isinstance(has_failed, bool | None):
        raise invalid(f"{where}.is_error", "It has to be true or false.")
    content = block.get("content")
    blocks = blocks_in([] if content is None else content, _RESULT, f"{where}.content")
    told = [*told_in(blocks)]
    text = "\n".join([part.text for part in told if isinstance(part, Text)])
    images = [part for part in told if isinstance(part, Image)]
    return ToolResult(call_id, text, has_failed=bool(has_failed)), images


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "text": text_in,
    "document": _document_in,
    "search_result": _search_result_in,
}
"""By the type of a block: what returns its text."""


def _is_ignored(field: str, value: Any) -> bool:
    return field in _ONLY and (not _ONLY[field] or value in _ONLY[field])


def _refused(kind: str, role: str, where: str) -> UnsupportedParameter:
    known = ", ".join(f"`{each}`" for each in _SAID_BY[role])
    place = "a `tool_result`" if role == _RESULT else f"a message of the role {role!r}"
    return UnsupportedParameter(
        f"{where}: no model here reads a block of the type {kind[:64]!a} in {place}. "
        f"Nothing was stored. Leave it out, or send one of {known}.",
        parameters=[where],
    )
