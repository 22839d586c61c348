"""Images in requests: their bytes as base64, or an https address."""

import binascii
import re
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from llamakeep.domain import Image
from llamakeep.domain.images import LARGEST_IMAGE, read_header
from llamakeep.errors import InvalidRequest

LONGEST_URL = 8192
DETAILS = ("auto", "low", "high", "original")

_DATA_URL = re.compile(r"data:([^,]{0,256}),", re.IGNORECASE)
_IS_PLAIN = re.compile(r"[!-~]+")
_NOT_IN_URLS = frozenset('"<>\\^`{|}')
_SPACE = re.compile(r"[ \t\r\n]+")
_LONGEST_BASE64 = LARGEST_IMAGE // 3 * 4 + 4


class KnownImage(str):
    """
    The path of an image that is kept already, as responses show it.

    A request that refers to what was said before has it in place of an address, so
    that no bytes are copied.
    """

    __slots__ = ("image",)

    image: Image

    @classmethod
    def of(cls, run_id: str, image: Image) -> "KnownImage":
        """Return the path of an image of a run, or its address elsewhere."""
        known = cls(path_of(run_id, image))
        known.image = image
        return known


def path_of(run_id: str, image: Image) -> str:
    """Return where this server has an image that a run shows, or its address."""
    return image.url or f"/history/{run_id}/images/{image.sha256}"


def read_image(url: Any, where: str, *, detail: Any = None) -> Image:
    """
    Read an image from a `data:` URL, or from an https address, which is not requested.

    Args:
        url: The URL.
        where: Its path in the request, such as `messages[0].content[1].image_url`.
        detail: How exactly a model is to look at it.

    Raises:
        InvalidRequest: It is neither, or no image that can be taken.
    """
    if detail is not None and detail not in DETAILS:
        raise InvalidRequest.of(
            where, f"Its `detail` has to be one of {', '.join(DETAILS)}."
        )
    if isinstance(url, KnownImage):
        return url.image
    if not isinstance(url, str):
        raise InvalidRequest.of(where, "It has to be a `data:` or an `https:` URL.")
    if (found := _DATA_URL.match(url)) is not None:
        media_type, *parameters = found[1].lower().split(";")
        if "base64" not in parameters:
            raise InvalidRequest.of(
                where, "Its `data:` URL has to have base64: `data:image/png;base64,…`."
            )
        return read_base64(url[found.end() :], where, media_type, detail=detail)
    try:
        check_address(url)
    except ValueError as error:
        raise InvalidRequest.of(where, str(error)) from None
    return Image(url=url, detail=detail)


def read_base64(
    data: Any, where: str, media_type: Any = None, *, detail: str | None = None
) -> Image:
    """
    Read an image that is base64.

    What it is, its bytes say: many clients name another type of image.

    Args:
        data: The base64.
        where: Its path in the request.
        media_type: What the client says that it is, if it says so.
        detail: How exactly a model is to look at it.

    Raises:
        InvalidRequest: It is no image that can be taken.
    """
    if media_type and not str(media_type).startswith("image/"):
        raise InvalidRequest.of(
            where,
            f"It has to be an image, and not {str(media_type)[:64]!a}: a PNG, JPEG, "
            "GIF or WebP.",
        )
    if not isinstance(data, str):
        raise InvalidRequest.of(where, "It has to be base64.")
    if len(data) > _LONGEST_BASE64:
        data = _SPACE.sub("", data)
    if len(data) > _LONGEST_BASE64:
        raise InvalidRequest.of(
            where,
            f"The image has more than {LARGEST_IMAGE // 1024**2} MiB, which is the "
            "most that is possible. Scale it down.",
        )
    try:
        return image_of(_decoded(data), detail=detail)
    except binascii.Error:
        raise InvalidRequest.of(
            where, "It is not valid base64. Encode the bytes of the image's file so."
        ) from None
    except ValueError as error:
        raise InvalidRequest.of(where, str(error)) from None


def image_of(data: bytes, *, detail: str | None = None) -> Image:
    """
    Return the image of some bytes.

    Raises:
        ValueError: They are none that can be taken; the message says what to do.
    """
    header = read_header(data)
    digest = sha256(data).hexdigest()
    return Image(digest, header.media_type, len(data), detail=detail, data=data)


def _decoded(data: str) -> bytes:
    if not data.isascii():
        raise binascii.Error
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        # Some clients break lines.
        without = _SPACE.sub("", data)
        if len(without) == len(data):
            raise
        return binascii.a2b_base64(without, strict_mode=True)


def check_address(url: str) -> None:
    """
    Check the address of an image.

    Raises:
        ValueError: It is no `https:` URL; the message says what to do.
    """
    if url.partition(":")[0].lower() != "https":
        raise ValueError(
            "It has to be an `https:` URL, or the image itself in a `data:` URL such "
            "as `data:image/png;base64,…`."
        )
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        is_whole = False
    if (
        not is_whole
        or len(url) > LONGEST_URL
        or not _IS_PLAIN.fullmatch(url)
        or not _NOT_IN_URLS.isdisjoint(url)
    ):
        raise ValueError(
            f"It is no `https:` URL of at most {LONGEST_URL} characters. Spaces, and "
            "characters that are not ASCII, are written as in `%20`."
        )
