"""Images in what a model is given: how many, and whether it can look at them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from llamakeep.domain import Image, NewRun, Run
from llamakeep.domain.images import MOST_IMAGES
from llamakeep.domain.messages import images_in, without_data
from llamakeep.domain.runs import brought_by
from llamakeep.engine.live import LiveRun
from llamakeep.engine.retries import Retries
from llamakeep.errors import ContextTooLarge, UnsupportedParameter
from llamakeep.providers.base import IMAGE_URLS, IMAGES, Provider
from llamakeep.providers.capabilities import models_differ
from llamakeep.providers.registry import Registry
from llamakeep.storage import Storage


async def read_images(
    storage: Storage, live: LiveRun, hashes: Collection[str]
) -> Mapping[str, bytes]:
    """Return the bytes of images for a provider, once the database has them."""
    user_id = live.run.user_id
    return await Retries(live).until_done(lambda: storage.image_data(user_id, hashes))


def images_before(prior: Iterable[Run]) -> Sequence[Image]:
    """Return the images in the messages of some runs."""
    return [image for run in prior for image in images_in(brought_by(run))]


def apart(new: NewRun) -> tuple[NewRun, Sequence[Image]]:
    """Return a request without the bytes of its images, and the images to keep."""
    images: dict[str, Image] = {}
    for image in images_in(brought_by(new)):
        if image.sha256 is not None and (
            image.data is not None or image.sha256 not in images
        ):
            images[image.sha256] = image
    if not images:
        return new, ()
    last = new.last_message
    new = replace(
        new,
        prior_messages=tuple([without_data(each) for each in new.prior_messages]),
        last_message=None if last is None else without_data(last),
    )
    return new, tuple(images.values())


async def check_images(
    registry: Registry,
    provider: Provider,
    model: str,
    own: Sequence[Image],
    before: Sequence[Image],
    *,
    most: int,
) -> None:
    """
    Check that a model can be given images.

    Args:
        registry: Knows what models can do.
        provider: The model's.
        model: Its name there.
        own: The images of the request itself.
        before: Those of the runs that it follows.
        most: How many bytes all of them may have together.

    Raises:
        ContextTooLarge: There are too many, or they are too large.
        UnsupportedParameter: The model cannot be given them.
    """
    lacking = await registry.unsupported(provider, model, {IMAGES})
    parameters = [IMAGES] if own else ()
    where = "the request has" if own else "what was said before has"
    if IMAGES in lacking:
        raise UnsupportedParameter(
            f"The model {provider.name}:{model} cannot look at images, and {where} "
            "one. Nothing was stored. Leave it out, or choose another model.",
            parameters=parameters,
            needed=[IMAGES],
        )
    both = (*before, *own)
    if IMAGE_URLS in provider.unsupported and any(image.url for image in both):
        raise UnsupportedParameter(
            f"The model {provider.name}:{model} has to be given the bytes of an image, "
            f"and {where} the address of one, which is not requested from here. "
            "Nothing was stored. Send the image itself, in a `data:` URL.",
            parameters=parameters,
        )
    if models_differ(provider):
        await provider.check_images(model, both)
    if len(both) > MOST_IMAGES:
        raise ContextTooLarge(
            f"The prompt and what was said before it have {len(both)} images; "
            f"{MOST_IMAGES} are possible. Nothing was stored. Send fewer, or begin "
            "another conversation."
        )
    if sum(sizes_of(both).values()) > most:
        raise ContextTooLarge(
            "The images of the prompt, with those of what was said before it, have "
            f"more than {most / 1024**2:g} MiB together. Nothing was stored. Send "
            "smaller ones, or begin another conversation; an operator may raise "
            "LLAMAKEEP_MAX_IMAGES_SIZE."
        )


def sizes_of(images: Iterable[Image]) -> Mapping[str, int]:
    """Return how many bytes the images have that are kept here, by hash."""
    return {image.sha256: image.size or 0 for image in images if image.sha256}
