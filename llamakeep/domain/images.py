"""
Images: what is read of their headers.

Nothing is decoded. An image is a PNG, JPEG, GIF or WebP by its first bytes, and its
width and height are read from its header, so that an image of very many pixels is
refused before a model's server decodes it.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

LARGEST_IMAGE = 10 * 1024 * 1024
"""Bytes of an image."""
MOST_PIXELS = 64 * 1024 * 1024
"""Width times height of an image."""
MOST_IMAGES = 100
"""Images that a model is given with one prompt, with those of what was said before."""

_BEGINNING = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8[79]a)"
    rb"|(?P<webp>RIFF.{4}WEBP)",
    re.DOTALL,
)
_MOST_SEGMENTS = 2000
"""Segments of a JPEG that are skipped until the one with its size."""
_MARKER = re.compile(rb"\xff+([^\xff])")
_SIZED = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of segments with the size of a JPEG."""
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers of segments without a length."""
_SCAN, _END = 0xDA, 0xD9


class Header(NamedTuple):
    """What the header of an image says."""

    media_type: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """
    Read the header of an image.

    Raises:
        ValueError: It is no image of a known type, is broken off, or has too many bytes
            or pixels; the message says what to do.
    """
    if not data:
        raise ValueError("The image is empty.")
    if len(data) > LARGEST_IMAGE:
        raise ValueError(
            f"The image has {len(data)} bytes; {LARGEST_IMAGE // 1024**2} MiB are "
            "possible. Scale it down."
        )
    found = _BEGINNING.match(data)
    if found is None:
        raise ValueError("It is no PNG, JPEG, GIF or WebP. Send the image as one.")
    assert found.lastgroup is not None
    size_in = _SIZES[found.lastgroup]
    try:
        width, height = size_in(data)
    except IndexError:
        raise ValueError(
            "The image is broken off, or damaged: its header has no size. Send all of "
            "it."
        ) from None
    if not width * height:
        raise ValueError("The image has no pixels by its header.")
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"The image has {width} by {height} pixels; {MOST_PIXELS // 10**6} million "
            "are possible. Scale it down."
        )
    return Header(f"image/{found.lastgroup}", width, height)


def _png(data: bytes) -> tuple[int, int]:
    # The first chunk is the header: 13 bytes, and a checksum.
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR":
        raise IndexError
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.match(data, at)
        if found is None:
            break
        at, marker = found.end(), found[1][0]
        if marker in _BARE:
            continue
        if marker in {_SCAN, _END}:
            break
        length = int.from_bytes(data[at : at + 2])
        if marker in _SIZED:
            if length < 8 or len(data) < at + length:
                break
            height = int.from_bytes(data[at + 3 : at + 5])
            return int.from_bytes(data[at + 5 : at + 7]), height
        at += max(length, 2)
    raise IndexError


def _gif(data: bytes) -> tuple[int, int]:
    if len(data) < 13:
        raise IndexError
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _webp(data: bytes) -> tuple[int, int]:
    if len(data) < 30:
        raise IndexError
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        sizes = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:], "little")
        return sizes[0] & 0x3FFF, sizes[1] & 0x3FFF
    if kind == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width = int.from_bytes(body[4:7], "little") + 1
        return width, int.from_bytes(body[7:10], "little") + 1
    raise IndexError


_SIZES: Mapping[str, Callable[[bytes], tuple[int, int]]] = {
    "png": _png,
    "jpeg": _jpeg,
    "gif": _gif,
    "webp": _webp,
}
MEDIA_TYPES = frozenset(f"image/{kind}" for kind in _SIZES)
