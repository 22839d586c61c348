"""Conversations as one prompt, for models that take no messages."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from llamakeep.domain import Message

Writer = Callable[[Sequence[Message]], str]
_NAMES = {
    "system": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
}
_LLAMA_ROLES = {"tool": "ipython"}
_ROLE = re.compile(rf"^(?=(?:{'|'.join(_NAMES.values())}):)", re.MULTILINE)

_BARS = r"<(?=[|\uff5c][^<>\r\n]{1,100}[|\uff5c]>)"
_BRACKETS = r"\[(?=/?INST\])|<(?=</?SYS>>)"
_TURNS = r"<(?=(?:start|end)_of_turn>)"
_ENDS = r"<(?=(?:/?s|bos|eos)>)"
_ONLY_BARS = re.compile(_BARS)
_MOST = re.compile(f"{_BARS}|{_BRACKETS}|{_TURNS}")
_ALL = re.compile(f"{_BARS}|{_BRACKETS}|{_TURNS}|{_ENDS}")
_BAR_MODELS = ("llama-3", "llama-4", "qwen", "deepseek", "gpt-oss", "granite")
_END_MODELS = ("llama-2", "codellama", "mistral", "mixtral", "vicuna", "gemma")


def as_text(model: str, messages: Sequence[Message]) -> Sequence[Message]:
    """
    Return the messages so that a model reads them as text, whatever is in them.

    A model is asked with one text, and takes a token that ends a turn for one wherever
    it stands in there. A space keeps it from being one: `< |eot|>`.
    """
    pattern = _control_tokens(model.lower())
    return [
        replace(each, content=pattern.sub(r"\g<0> ", each.content))
        if pattern.search(each.content)
        else each
        for each in messages
    ]


def _control_tokens(name: str) -> re.Pattern[str]:
    """Return what finds the first character of what may be a token of a model's."""
    if any(each in name for each in _BAR_MODELS):
        return _ONLY_BARS
    return _ALL if any(each in name for each in _END_MODELS) else _MOST


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
    # A line of a text that begins like an utterance is indented: it is none.
    said = [f"{_NAMES[each.role]}: {_ROLE.sub(' ', each.content)}" for each in messages]
    return "\n\n".join([*said, "Assistant:"])


def _utterances(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    for message in messages:
        yield _LLAMA_ROLES.get(message.role, message.role), message.content


def _llama_4(messages: Sequence[Message]) -> str:
    head = "<|header_start|>{}<|header_end|>\n\n"
    return _written(messages, head, "<|eot|>")


def _llama_3(messages: Sequence[Message]) -> str:
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    return _written(messages, head, "<|eot_id|>")


def _written(messages: Sequence[Message], head: str, end: str) -> str:
    """Return messages in a template, up to where the answer begins or continues."""
    said = [f"{head.format(role)}{text}{end}" for role, text in _utterances(messages)]
    if messages[-1].role == "assistant":
        return "".join(said).removesuffix(end)
    return "".join(said) + head.format("assistant")
