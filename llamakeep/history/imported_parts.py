"""Parsing and validation of the messages in exported runs, with their images."""

import binascii
import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from llamakeep.domain import Image, Message, Part, Role
from llamakeep.domain.images import LARGEST_IMAGE
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME, part_of, said_in
from llamakeep.schemas.fields import Integer
from llamakeep.schemas.images import check_address, image_of
from llamakeep.schemas.text import Text

Name = Annotated[Text, Field(max_length=LONGEST_NAME)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _check_list(text: str) -> str:
    try:
        is_list = isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        is_list = False
    if not is_list:
        raise ValueError("It has to be JSON of a list.")
    return text


class Imported(BaseModel):  # not `Body`, since deferred building is not thread-safe
    """A part of a line."""

    model_config = ConfigDict(extra="forbid")


class ImportedPart(Imported):
    """A part of a message or an item of an answer."""

    type: Literal["text", "reasoning", "refusal", "tool_call", "tool_result", "image"]
    text: Text | None = None
    call_id: Annotated[Text, Field(max_length=LONGEST_CALL_ID)] | None = None
    name: Name | None = None
    has_failed: bool | None = None
    sealed: Text | None = None
    logprobs: Annotated[Text, AfterValidator(_check_list)] | None = None
    sha256: Hash | None = None
    media_type: Annotated[str, Field(max_length=32)] | None = None
    size: Annotated[Integer, Field(ge=1, le=LARGEST_IMAGE)] | None = None
    url: Text | None = None
    detail: Annotated[Text, Field(max_length=16)] | None = None
    link: str | None = None
    """Ignored: it is made of the run's id and the hash."""

    @model_validator(mode="after")
    def _check_fields(self) -> "ImportedPart":
        self.part()
        return self

    def part(self) -> Part:
        """
        Return the part.

        Raises:
            ValueError: A field is missing, or belongs to another type.
        """
        is_image = self.type == "image"
        is_kept = None not in {self.sha256, self.media_type, self.size}
        try:
            part = part_of(self.model_dump(exclude_none=True, exclude={"link"}))
        except TypeError:
            raise ValueError(f"A {self.type} has other fields than these.") from None
        if is_image and is_kept == (self.url is not None):
            raise ValueError(
                "An image has a `url`, or a `sha256`, a `media_type` and a `size`."
            )
        if not is_image and self.text is None:
            raise ValueError(f"A {self.type} has a `text`.")
        if self.url is not None:
            check_address(self.url)
        return part


class ImportedMessage(Imported):
    """A message."""

    role: Role
    content: Text
    name: Name | None = None
    parts: list[ImportedPart] = []

    @model_validator(mode="after")
    def _check_parts(self) -> "ImportedMessage":
        if self.parts and said_in(self.message().parts) != self.content:
            raise ValueError("Its content is not the text of its parts.")
        return self

    def message(self) -> Message:
        """Return the message."""
        parts = tuple([each.part() for each in self.parts])
        return Message(self.role, self.content, self.name, parts)


class ImportedImage(Imported):
    """The bytes of an image, in the first line that shows it."""

    sha256: Hash
    data: str
    """As base64."""

    def decoded(self) -> bytes:
        """
        Return the bytes.

        Raises:
            ValueError: They are not those of the hash.
        """
        try:
            data = binascii.a2b_base64(self.data, strict_mode=True)
        except ValueError:
            raise ValueError(f"The image {self.sha256} is not base64.") from None
        if sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"The image {self.sha256} has another SHA-256.")
        return data


def read_images(
    given: Sequence[ImportedImage], shown: Sequence[Image]
) -> Sequence[Image]:
    """
    Return the images that a run shows, with the bytes that its line has.

    Args:
        given: The images of the line.
        shown: Those in the run's messages.

    Raises:
        ValueError: An image is damaged, or is not among those that are shown.
    """
    images = {image.sha256: image for image in shown if image.sha256 is not None}
    for each in given:
        known = images.get(each.sha256)
        if known is None:
            raise ValueError(f"No message shows the image {each.sha256}.")
        found = image_of(each.decoded())
        if replace(found, detail=known.detail) != known:
            raise ValueError(
                f"The image {each.sha256} is a {found.media_type} of {found.size} "
                "bytes, and a message says something else."
            )
        images[each.sha256] = found
    return tuple(images.values())
