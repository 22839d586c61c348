"""Conversion between items of the Responses API and messages."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llamakeep.api.openai.content import invalid, said_by, text_of
from llamakeep.api.openai.ids import id_of
from llamakeep.api.openai.messages import ROLES, name_of
from llamakeep.domain import Message, Role, Run
from llamakeep.errors import UnsupportedParameter

MESSAGE = "msg_"
"""The prefix of an item's id."""

_SAID = {"type", "role", "content", "name"}
_ECHOED = {"id", "status", "phase"}
"""Fields of output items, which clients send back; they are ignored."""


def read_input(given: Any) -> tuple[str, list[Message]]:
    """
    Split the input of a request into the prompt and prior messages.

    Raises:
        InvalidRequest: An item is invalid, or the last one is not the user's.
        UnsupportedParameter: An item is no message, or has more than text.
    """
    if isinstance(given, str):
        prompt = text_of(given, "input")
        _check_not_blank(prompt, "input")
        return prompt, []
    if not isinstance(given, list) or not given:
        raise invalid("input", "It has to be a prompt, or a list of messages.")
    said = [_message(item, f"input.{index}") for index, item in enumerate(given)]
    last = said.pop()
    where = f"input.{len(said)}"
    if last.role != "user":
        raise invalid(
            f"{where}.role",
            "The last item has to be the user's message: it is what is answered. Add "
            "one of the role `user`.",
        )
    _check_not_blank(last.content, f"{where}.content")
    return last.content, said


def items_read(run: Run, earlier: Iterable[Run]) -> Iterator[dict[str, Any]]:
    """
    Yield the messages that the model got for `run`, oldest first, without instructions.

    The `earlier` runs are those that it continues, oldest first.
    """
    for one in earlier:
        yield from items_sent(one)
        yield output_item(one, "completed")
    yield from items_sent(run)


def output_item(run: Run, status: str) -> dict[str, Any]:
    """Return the run's response as an item."""
    return _item(id_of(run, MESSAGE), "assistant", status, run.response)


def output_part(text: str) -> dict[str, Any]:
    """Return the text of a response as a part of its message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def items_sent(run: Run) -> Iterator[dict[str, Any]]:
    """Yield the messages of the request for `run`."""
    for number in range(len(run.prior_messages) + 1):
        yield sent_item(run, number)


def sent_item(run: Run, number: int) -> dict[str, Any]:
    """Return one of the messages of the request for `run`."""
    is_earlier = number < len(run.prior_messages)
    message = run.prior_messages[number] if is_earlier else Message("user", run.prompt)
    item_id = f"{id_of(run, MESSAGE)}_{number}"
    return _item(item_id, message.role, "completed", message.content)


def _item(item_id: str, role: Role, status: str, text: str) -> dict[str, Any]:
    is_output = role == "assistant"
    part = output_part(text) if is_output else {"type": "input_text", "text": text}
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": status,
        "content": [part],
    }


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, Mapping):
        raise invalid(
            where, 'An item is an object such as `{"role": "user", "content": "…"}`.'
        )
    kind = item.get("type", "message")
    if kind != "message":
        raise UnsupportedParameter(
            f"{where}: the models here read messages, and no items of the type "
            f"{str(kind)[:64]!a}. Nothing was stored. Leave it out.",
            parameters=[f"{where}.type"],
        )
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"{where}.role", f"It has to be one of {', '.join(ROLES)}.")
    for name in item.keys() - _SAID - _ECHOED:
        if item[name]:
            raise UnsupportedParameter(
                f"{where}: a model here reads a message's role and text, and nothing "
                f"else. Nothing was stored. Leave {name[:64]!a} out.",
                parameters=[f"{where}.{name[:64]}"],
            )
    content = said_by(role, item.get("content"), f"{where}.content")
    return Message(ROLES[role], content, name_of(item.get("name"), f"{where}.name"))


def _check_not_blank(text: str, where: str) -> None:
    if not text or text.isspace():
        raise invalid(where, "It is empty. Write something.")
