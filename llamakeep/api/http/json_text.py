"""
JSON as it is sent: on one line, whatever counts the line.

JSON may have U+0085, U+2028 and U+2029 as they are, and many programs that read streams
line by line take each of them for the end of one. Written as escapes they are the same
text to whatever reads JSON.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pydantic_core
from starlette.responses import JSONResponse

from llamakeep.storage.runs.long_texts import STORED

PIECE = 64 * 1024
"""Characters of a text, or bytes, that are sent at a time."""

HOLE = b""
"""What `in_pieces` yields where a text is `STORED`."""

_ESCAPES = tuple(
    (sign.encode(), f"\\u{ord(sign):04x}".encode()) for sign in "\x85\u2028\u2029"
)


def to_json(value: Any, **options: Any) -> bytes:
    """Return `value` as JSON; see pydantic's function for the options."""
    text = pydantic_core.to_json(value, **options)
    return text if text.isascii() else one_line(text)


def one_line(text: bytes) -> bytes:
    """Return JSON with escapes for what somebody takes for the end of a line."""
    for sign, escape in _ESCAPES:  # the others, JSON writes as escapes itself
        if sign in text:
            text = text.replace(sign, escape)
    return text


class JsonResponse(JSONResponse):
    """What routes answer that leave it to FastAPI to serialise what they return."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return to_json(content)


def in_pieces(value: Any) -> Iterator[bytes]:
    """Yield `value` as JSON, however long the texts in it are."""
    if value is STORED:
        yield HOLE
    elif isinstance(value, str) and len(value) > PIECE:
        yield b'"'
        for start in range(0, len(value), PIECE):
            yield inside_json(value[start : start + PIECE])
        yield b'"'
    elif isinstance(value, dict) and value:
        opening = b"{"
        for key, each in value.items():
            yield opening + to_json(str(key)) + b":"
            yield from in_pieces(each)
            opening = b","
        yield b"}"
    elif isinstance(value, list) and value:
        opening = b"["
        for each in value:
            yield opening
            yield from in_pieces(each)
            opening = b","
        yield b"]"
    else:
        yield to_json(value)


def inside_json(text: str) -> bytes:
    """Return what stands for a text between the quotes of JSON."""
    return to_json(text)[1:-1]


async def filled(
    pieces: Iterable[bytes],
    text: Callable[[], AsyncIterator[str]],
    *,
    encode: Callable[[str], bytes] = inside_json,
    quote: bytes = b'"',
) -> AsyncIterator[bytes]:
    """
    Yield the same bytes with a text in each hole, which is read piece by piece.

    Args:
        pieces: What `in_pieces` returned, with other bytes around it or without.
        text: Reads the text from its beginning.
        encode: Returns what stands for a piece of it.
        quote: What the text begins and ends with.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece or quote)
        size += len(piece)
        if piece and size < PIECE:
            continue
        yield b"".join(waiting)
        waiting, size = [], 0
        if not piece:
            async for some in text():
                yield encode(some)
            waiting.append(quote)
    yield b"".join(waiting)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, with few that are smaller than `PIECE`."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def cut(text: bytes) -> Iterator[bytes]:
    """Yield the same bytes in pieces: a client that does not read holds one of them."""
    if len(text) <= PIECE:
        yield text
        return
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
