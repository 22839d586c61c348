"""Addresses of images of the history in a request: the images are here already."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import Image
from llamakeep.domain.images import MOST_IMAGES
from llamakeep.errors import ImageNotFound
from llamakeep.schemas.images import KnownImage
from llamakeep.storage.runs.images import StoredImage

_FIELDS = ("content", "output")
_PATH = re.compile(
    r"https?://[^?#]{1,1024}/history/(run_[0-9a-z]{26})/images/([0-9a-f]{64})"
)
"""
Whatever the origin: clients may reach this server by several, and the image is found
by its hash, in a run of the user's.
"""


async def with_known_images(
    given: Any, find: Callable[[str, str], Awaitable[StoredImage]], where: str
) -> Any:
    """
    Return items whose addresses of the user's own images are replaced by the images.

    Clients send back what lists of items showed. Other addresses stay as they are.

    Args:
        given: The items, or other values.
        find: Returns what an image is, by the id of a run and the image's hash.
        where: The path of the items in the request.

    Raises:
        InvalidRequest: There are very many.
    """
    if not isinstance(given, list):
        return given
    places = dict(_places_in(given))
    if len(places) > MOST_IMAGES:
        raise invalid(where, f"It may refer to {MOST_IMAGES} images at most.")
    found: dict[str, tuple[str, Image]] = {}
    for url, (run_id, sha256) in places.items():
        try:
            kept = await find(run_id, sha256)
        except ImageNotFound:
            continue
        found[url] = (run_id, Image(sha256, kept.media_type, kept.size))
    return [_with(item, found) for item in given] if found else given


def _places_in(items: Sequence[Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield addresses that may be of images here, each with its run and its hash."""
    for item in items:
        for part in _parts_of(item):
            url = part.get("image_url") if isinstance(part, Mapping) else None
            if type(url) is str and (place := _PATH.fullmatch(url)) is not None:
                yield url, (place[1], place[2])


def _parts_of(item: Any) -> Iterator[Any]:
    if isinstance(item, Mapping):
        for field in _FIELDS:
            if isinstance(parts := item.get(field), list):
                yield from parts


def _with(item: Any, found: Mapping[str, tuple[str, Image]]) -> Any:
    if not isinstance(item, Mapping):
        return item
    return {
        name: [_known(part, found) for part in value]
        if name in _FIELDS and isinstance(value, list)
        else value
        for name, value in item.items()
    }


def _known(part: Any, found: Mapping[str, tuple[str, Image]]) -> Any:
    url = part.get("image_url") if isinstance(part, Mapping) else None
    if type(url) is not str or url not in found:
        return part
    run_id, image = found[url]
    if (detail := part.get("detail")) != "auto":  # which is shown where there was none
        image = replace(image, detail=detail)
    return {**part, "image_url": KnownImage.of(run_id, image)}
