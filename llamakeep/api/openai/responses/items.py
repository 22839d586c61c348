"""Items of the Responses API: what was said, as it shows it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeGuard

from llamakeep.api.openai.responses.namespaces import shown_name
from llamakeep.api.prompts.ids import RUN, id_of
from llamakeep.domain import (
    Image,
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    Role,
    Run,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.runs import CLIENT
from llamakeep.schemas.images import KnownImage

MESSAGE, REASONING, CALL, OUTPUT = "msg_", "rs_", "fc_", "fco_"
"""The prefixes of items' ids."""

_LENGTH = 26
"""Characters of a run's id, after its prefix."""


def items_read(run: Run, earlier: Iterable[Run]) -> Iterator[dict[str, Any]]:
    """
    Yield the items that the model got for `run`, oldest first, without instructions.

    The `earlier` runs are those that it continues, oldest first.
    """
    for one in earlier:
        yield from items_of(one)
    yield from items_sent(run)


def items_of(run: Run) -> Iterator[dict[str, Any]]:
    """Yield the items of the request for `run`, and those of its answer."""
    yield from items_sent(run)
    if run.provider != CLIENT:
        yield from output_items(run, "completed")


def output_items(run: Run, status: str) -> list[dict[str, Any]]:
    """Return the items of an answer, of which the last one has `status`."""
    items = output_of(run)
    last = len(items) - 1
    return [
        output_item(run, item, index, status if index == last else "completed")
        for index, item in enumerate(items)
    ]


def output_of(run: Run) -> Sequence[Item]:
    """Return the items of an answer, also if it is text alone."""
    return run.output or (Text(run.response),)


def output_item(run: Run, item: Item, index: int, status: str) -> dict[str, Any]:
    """Return an item of an answer, all of it."""
    return _shown(run, item, output_id(run, item, index), "assistant", status)


def output_id(run: Run, item: Item, index: int) -> str:
    """Return the id of an item of an answer."""
    return id_of(run, _prefix(item)) + (f"_o{index}" if index else "")


def begun_item(run: Run, item: Item, index: int) -> dict[str, Any]:
    """Return an item of an answer that begins: it has no parts yet."""
    shown = output_item(run, item, index, "in_progress")
    return shown | {"content": []} if "content" in shown else shown


def part_of(item: Text | Refusal | Reasoning) -> dict[str, Any]:
    """Return the only part of an item."""
    match item:
        case Text(text, logprobs):
            return {
                "type": "output_text",
                "text": text,
                "annotations": [],
                "logprobs": json.loads(logprobs) if logprobs else [],
            }
        case Refusal(text):
            return {"type": "refusal", "refusal": text}
        case Reasoning(text):
            return {"type": "reasoning_text", "text": text}


def has_text(item: Item) -> bool:
    """Return whether an item is more than what is handed back as it came."""
    return not (isinstance(item, Reasoning) and item.sealed is not None)


def has_part(item: Item) -> TypeGuard[Text | Refusal | Reasoning]:
    """Return whether an item has a content part: calls have none."""
    return not isinstance(item, ToolCall) and has_text(item)


def items_sent(run: Run) -> Iterator[dict[str, Any]]:
    """Yield the items of the request for `run`."""
    number = 0
    for message in messages_sent(run):
        for parts in _item_parts(message):
            yield _sent_item(run, message, parts, number)
            number += 1


def find_item(run: Run, item_id: str) -> dict[str, Any] | None:
    """Return an item of the request for `run` or of its answer, if it has that id."""
    place = item_id.partition("_")[2][_LENGTH:].removeprefix("_")
    found = None
    if place.isdecimal():
        found = _find_sent(run, int(place))
    elif run.provider != CLIENT:
        index, items = int(place.removeprefix("o") or 0), output_of(run)
        if index < len(items):
            found = output_item(run, items[index], index, "completed")
    return found if found and found["id"] == item_id else None


def with_origin(item: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return an item with the whole URLs of images that this server has."""
    for field in ("content", "output"):
        parts = item.get(field)
        if isinstance(parts, list) and any("image_url" in part for part in parts):
            item = item | {field: [_with_origin(part, origin) for part in parts]}
    return item


def _with_origin(part: dict[str, Any], origin: str) -> dict[str, Any]:
    url = part.get("image_url")
    is_here = isinstance(url, KnownImage) and url.image.url is None
    return part | {"image_url": f"{origin}{url}"} if is_here else part


def size_of(item: dict[str, Any]) -> int:
    """Return how many bytes the text of an item has."""
    output = item.get("output", "")
    parts = item.get("content", ())
    if isinstance(output, list):
        output, parts = "", output
    texts = [item.get("arguments", ""), output, item.get("encrypted_content", "")]
    for part in parts:
        texts += [part.get("text", ""), part.get("refusal", "")]
    return len("".join(texts).encode())


def run_id_in(item_id: str) -> str:
    """Return the id of the run that has an item; its id has the right format."""
    return RUN + item_id.partition("_")[2][:_LENGTH]


def messages_sent(run: Run) -> Iterator[Message]:
    """Yield the messages of the request for `run`, or what a client added."""
    yield from run.prior_messages
    if run.provider != CLIENT or run.prompt or run.last_message:
        yield run.last_message or Message("user", run.prompt)


def _item_parts(message: Message) -> Sequence[Sequence[Part]]:
    """Return the parts of a message, those together that are of one item."""
    if not message.parts:
        return [[Text(message.content)]]
    if message.role == "assistant":
        return [[part] for part in message.parts]
    items: list[list[Part]] = []
    for part in message.parts:
        if items and isinstance(part, Image | Text) and not _is_call(items[-1][0]):
            items[-1].append(part)
        elif items and isinstance(part, Image):
            items[-1].append(part)  # a tool returned it
        else:
            items.append([part])
    return items


def _is_call(part: Part) -> bool:
    return isinstance(part, ToolCall | ToolResult)


def _find_sent(run: Run, number: int) -> dict[str, Any] | None:
    # There may be very many messages, of which one is made an item.
    first = 0
    for message in messages_sent(run):
        items = _item_parts(message) if message.parts else ()
        following = first + (len(items) or 1)
        if number < following:
            parts = _item_parts(message)[number - first]
            return _sent_item(run, message, parts, number)
        first = following
    return None


def _sent_item(
    run: Run, message: Message, parts: Sequence[Part], number: int
) -> dict[str, Any]:
    [part, *more] = parts
    item_id = f"{id_of(run, _prefix(part))}_{number}"
    if not (more or isinstance(part, Image)):
        return _shown(run, part, item_id, message.role, "completed")
    if isinstance(part, ToolResult):
        shown = _shown(run, part, item_id, message.role, "completed")
        texts = [Text(part.text)] if part.text else []
        return shown | {"output": [_input(each, run) for each in (*texts, *more)]}
    return {
        "id": item_id,
        "type": "message",
        "role": message.role,
        "status": "completed",
        "content": [_input(each, run) for each in parts],
    }


def _input(part: Part, run: Run) -> dict[str, Any]:
    """Return a text or an image of a message that is not the assistant's."""
    if not isinstance(part, Image):
        return {"type": "input_text", "text": part.text}
    return {
        "type": "input_image",
        "image_url": KnownImage.of(run.id, part),
        "detail": part.detail or "auto",
    }


def _prefix(part: Part) -> str:
    match part:
        case Reasoning():
            return REASONING
        case ToolCall():
            return CALL
        case ToolResult():
            return OUTPUT
        case _:
            return MESSAGE


def _shown(
    run: Run, part: Part, item_id: str, role: Role, status: str
) -> dict[str, Any]:
    match part:
        case ToolCall(call_id, name, text):
            return {
                "id": item_id,
                "type": "function_call",
                "status": status,
                "call_id": call_id,
                **shown_name(run, name),
                "arguments": text,
            }
        case ToolResult(call_id, text):
            return {
                "id": item_id,
                "type": "function_call_output",
                "status": status,
                "call_id": call_id,
                "output": text,
            }
        case Reasoning(sealed=None):
            return {
                "id": item_id,
                "type": "reasoning",
                "status": status,
                "summary": [],
                "content": [part_of(part)],
            }
        case Reasoning(sealed=sealed):
            return {
                "id": item_id,
                "type": "reasoning",
                "status": status,
                "summary": [],
                "encrypted_content": sealed,
            }
    assert not isinstance(part, Image), "it is in a message"
    if role == "assistant" or isinstance(part, Refusal):
        content = part_of(part)
    else:
        content = {"type": "input_text", "text": part.text}
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": status,
        "content": [content],
    }
