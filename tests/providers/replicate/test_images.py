"""Images for models on Replicate, by what their schemas say of them."""

from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import Image, Message, Part, Text
from llamakeep.domain.messages import message_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import IMAGES, CompletionRequest
from llamakeep.providers.images import data_urls
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.inputs import MOST_BYTES, build_input, check_images
from tests.images import data_url, hash_of, png, reader_of, shown
from tests.providers.asking import ask
from tests.providers.replicating import (
    GPT,
    MAVERICK,
    STRUCTURED,
    Control,
    asking,
    emulated,
    schema_of,
)

CAT, DOG = png(of=1), png(of=2)
ADDRESS = "https://example.com/cat.png"
SYSTEM = Message("system", "Be brief.")


def of(*messages: Message, model: str = GPT) -> CompletionRequest:
    reader = reader_of(CAT, DOG)
    return replace(asking(model=model), messages=messages, read_images=reader)


def asked(text: str, *images: Image) -> Message:
    parts: list[Part] = [Text(text), *images]
    return message_of("user", parts if text else images)


SEVERAL: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
ONE: dict[str, Any] = {"type": "string", "nullable": True}


@pytest.mark.parametrize(
    ("name", "field", "images", "sent"),
    [
        ("image_input", SEVERAL, [shown(CAT)], [data_url(CAT)]),
        ("images", SEVERAL, [shown(CAT), shown(DOG)], [data_url(CAT), data_url(DOG)]),
        ("images", {}, [Image(url=ADDRESS)], [ADDRESS]),
        ("image", ONE, [shown(CAT)], data_url(CAT)),
        ("image", ONE, [Image(url=ADDRESS)], ADDRESS),
    ],
)
async def test_images_go_to_the_field_that_a_model_has(
    name: str, field: dict[str, Any], images: list[Image], sent: Any
) -> None:
    request = of(asked("What?", *images), model="a/b")

    given = build_input(request, schema_of({name: field}), await data_urls(request))

    assert given == {"prompt": "What?", name: sent}


async def test_images_of_a_conversation_as_one_text_are_sent_with_it() -> None:
    said = (asked("A cat?", shown(CAT)), Message("assistant", "Yes."))
    request = of(*said, asked("", shown(DOG)), model="a/b")

    given = build_input(request, schema_of({"images": {}}), await data_urls(request))

    assert given == {
        "prompt": "User: A cat?\n\nAssistant: Yes.\n\nUser: \n\nAssistant:",
        "images": [data_url(CAT), data_url(DOG)],
    }


async def test_a_prompt_with_images_needs_no_messages() -> None:
    request = of(SYSTEM, asked("What?", shown(CAT)))

    assert build_input(request, emulated(GPT), await data_urls(request)) == {
        "prompt": "What?",
        "system_prompt": "Be brief.",
        "image_input": [data_url(CAT)],
    }


@pytest.mark.parametrize(
    ("model", "field", "text", "seen"),
    [
        (
            GPT,
            "messages",
            {"type": "text", "text": "A cat?"},
            {"type": "image_url", "image_url": {"url": data_url(CAT)}},
        ),
        (
            STRUCTURED,
            "input_item_list",
            {"type": "input_text", "text": "A cat?"},
            {"type": "input_image", "image_url": data_url(CAT)},
        ),
    ],
)
async def test_images_of_messages_are_sent_in_their_place(
    model: str, field: str, text: dict[str, Any], seen: dict[str, Any]
) -> None:
    said = (asked("A cat?", shown(CAT)), Message("assistant", "Yes."))
    request = of(*said, Message("user", "Sure?"), model=model)

    given = build_input(request, emulated(model), await data_urls(request))

    assert given.keys() == {field}
    assert given[field][0] == {"role": "user", "content": [text, seen]}


@pytest.mark.parametrize(
    ("fields", "images", "says"),
    [
        ({}, [shown(CAT)], "cannot look at images"),
        ({"messages": {}}, [shown(CAT)], "cannot look at images"),
        ({"image": ONE}, [shown(CAT), shown(DOG)], "one image, and not 2"),
        (
            {"images": SEVERAL},
            [replace(shown(CAT), size=MOST_BYTES), shown(DOG)],
            "more than 7 MiB together",
        ),
    ],
)
async def test_images_that_a_model_does_not_take_are_refused(
    fields: dict[str, Any], images: list[Image], says: str
) -> None:
    schema = schema_of(fields)
    request = of(asked("What?", *images), model="a/b")
    urls = {hash_of(each): "data:" for each in (CAT, DOG)}

    for check in (
        lambda: check_images(images, schema),
        lambda: build_input(request, schema, urls),
    ):
        with pytest.raises(UnsupportedParameter, match=says) as caught:
            check()
        assert caught.value.parameters == (IMAGES,)


async def test_a_model_that_has_a_field_for_images_is_sent_them(
    replicate: ReplicateProvider, control: Control
) -> None:
    answer = await ask(replicate, of(asked("A cat", shown(CAT))))

    assert answer.text == "A cat"
    assert (await control.only())["input"]["image_input"] == [data_url(CAT)]
    assert (await replicate.capabilities(GPT)).images is True
    assert (await replicate.capabilities(MAVERICK)).images is False
