"""The bytes of images, for providers that are to be sent them."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType

from llamakeep.domain import Image
from llamakeep.errors import ImageNotFound
from llamakeep.providers.base import CompletionRequest

NO_IMAGES: Mapping[str, str] = MappingProxyType({})


async def data_urls(request: CompletionRequest) -> Mapping[str, str]:
    """
    Return the `data:` URLs of the images in a request's messages, by their hashes.

    All of them are read at once: call it right before sending, and do not hold on to
    what it returns. Images that are addresses are not among them.

    Raises:
        ImageNotFound: An image was deleted meanwhile.
    """
    if request.read_images is None:
        return NO_IMAGES
    media_types = {
        part.sha256: part.media_type
        for message in request.messages
        for part in message.parts
        if isinstance(part, Image) and part.sha256 is not None
    }
    if not media_types:
        return NO_IMAGES
    found = await request.read_images(media_types)
    if found.keys() != media_types.keys():
        raise ImageNotFound(
            "An image of what was said before was deleted, so that the model could not "
            "be given it. The prompt is kept; send it again."
        )
    return await asyncio.to_thread(
        lambda: {
            sha256: f"data:{media_types[sha256]};base64,{b64encode(data).decode()}"
            for sha256, data in found.items()
        }
    )


def url_of(image: Image, urls: Mapping[str, str]) -> str:
    """Return the URL of an image: its address, or its `data:` URL."""
    return image.url or urls[image.sha256 or ""]
