"""Images as small as they can be, for tests."""

import struct
import zlib
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256

from llamakeep.domain import Image
from llamakeep.providers.base import ImageReader

GIF = b"GIF89a\x02\0\x03\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0;"
JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    b"\xff\xc0\0\x0b\x08\0\x03\0\x02\x01\x01\x11\0\xff\xd9"
)
WEBP = (
    b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\x000\x01\0\x9d\x01\x2a\x02\0\x03\0\x0e\xc0"
    b"\xfe\x25\xa4\0\x03p\0\0\0\0"
)
LOSSLESS = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\x01\x80\0\0\x07\x10\x11\x11\0\0\0\0"
EXTENDED = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x01\0\0\x02\0\0"


def png(size: tuple[int, int] = (2, 3), *, of: int = 0) -> bytes:
    """Return a PNG that is another one for each number."""
    head = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes(2)) * 3)
    text = f"number\0{of}".encode()
    chunks = [(b"IHDR", head), (b"tEXt", text), (b"IDAT", pixels), (b"IEND", b"")]
    written = [_chunk(kind, data) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _chunk(kind: bytes, data: bytes) -> bytes:
    length, checksum = len(data), zlib.crc32(kind + data)
    return struct.pack(">I", length) + kind + data + struct.pack(">I", checksum)


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def hash_of(data: bytes) -> str:
    return sha256(data).hexdigest()


def image(data: bytes, media_type: str = "image/png", **facts: str) -> Image:
    """Return an image with its bytes, as it comes with a request."""
    return Image(hash_of(data), media_type, len(data), data=data, **facts)


def shown(data: bytes, media_type: str = "image/png", **facts: str) -> Image:
    """Return an image without its bytes, as the run that shows it has it."""
    return replace(image(data, media_type, **facts), data=None)


def reader_of(*images: bytes) -> ImageReader:
    """Return what reads those of these images that are asked for."""
    known = {hash_of(each): each for each in images}

    async def read(hashes: Collection[str]) -> Mapping[str, bytes]:
        return {each: known[each] for each in hashes if each in known}

    return read
