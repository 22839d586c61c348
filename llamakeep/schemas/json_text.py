"""
Serialising JSON on one line, and in pieces.

JSON permits U+0085, U+2028 and U+2029 unescaped, but many clients that read streams
line by line take them for line ends. So they are escaped.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pydantic_core
from starlette.responses import JSONResponse

from llamakeep.storage.runs.long_texts import STORED

PIECE = 64 * 1024
"""How many characters or bytes are sent at a time."""

HOLE = b""
"""What `in_pieces` yields in place of a text that is still `STORED`."""

_ESCAPES = tuple(
    (sign.encode(), f"\\u{ord(sign):04x}".encode()) for sign in "\x85\u2028\u2029"
)


def to_json(value: Any, **options: Any) -> bytes:
    """Serialise `value`; the options are those of `pydantic_core.to_json`."""
    text = pydantic_core.to_json(value, **options)
    return text if text.isascii() else one_line(text)


def one_line(text: bytes) -> bytes:
    """Escape what clients may take for a line end."""
    for sign, escape in _ESCAPES:  # JSON always escapes \n and \r
        if sign in text:
            text = text.replace(sign, escape)
    return text


class JsonResponse(JSONResponse):
    """The response class of routes whose return value FastAPI serialises."""

    def render(self, content: Any) -> bytes:
        """Serialise the body."""
        return to_json(content)


def in_pieces(value: Any) -> Iterator[bytes]:
    """Serialise `value` piece by piece, so that long texts are not copied whole."""
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
    """Return `text` as JSON without the quotes."""
    return to_json(text)[1:-1]


async def filled(
    pieces: Iterable[bytes],
    text: Callable[[], AsyncIterator[str]],
    *,
    encode: Callable[[str], bytes] = inside_json,
    quote: bytes = b'"',
) -> AsyncIterator[bytes]:
    """
    Yield `pieces` with a text in place of each `HOLE`.

    The pieces are from `in_pieces`; `text` reads the text from its beginning.
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
    """Join small pieces until they have `PIECE` bytes."""
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
    """Split bytes, so that a client that does not read holds one piece in memory."""
    if len(text) <= PIECE:
        yield text
        return
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
