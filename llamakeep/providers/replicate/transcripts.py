"""Conversations as one prompt, for models that take no messages."""

from collections.abc import Callable, Sequence

from llamakeep.domain import Message

Writer = Callable[[Sequence[Message]], str]
_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}


def chat_template(model: str) -> Writer | None:
    """Return what writes messages the way `model` was trained on, if that is known."""
    name = model.lower()
    if "llama-4" in name:
        return _llama_4
    if "llama-3" in name:
        return _llama_3
    return None


def plain(messages: Sequence[Message]) -> str:
    """Return the messages as anybody would write them down."""
    said = [f"{_NAMES[each.role]}: {each.content}" for each in messages]
    return "\n\n".join([*said, "Assistant:"])


def _llama_4(messages: Sequence[Message]) -> str:
    said = [
        f"<|header_start|>{each.role}<|header_end|>\n\n{each.content}<|eot|>"
        for each in messages
    ]
    return "".join(said) + "<|header_start|>assistant<|header_end|>\n\n"


def _llama_3(messages: Sequence[Message]) -> str:
    said = [
        f"<|start_header_id|>{each.role}<|end_header_id|>\n\n{each.content}<|eot_id|>"
        for each in messages
    ]
    return "".join(said) + "<|start_header_id|>assistant<|end_header_id|>\n\n"
